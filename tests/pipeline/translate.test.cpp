#include "mql4grec/pipeline/translate.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <set>

#include "core/temporary_directory.hpp"
#include "mql4grec/catalog/synthetic.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/npy.hpp"
#include "mql4grec/pipeline/place_sequence.hpp"
#include "mql4grec/pipeline/quantizer.hpp"
#include "mql4grec/quantize/collisions/place_item.hpp"
#include "mql4grec/train/threads.hpp"
#include "support/tensors.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
constexpr index_t items = 120, later = 40;  // the last `later` items come after the first translation

item_id item(index_t i) { return item_id(static_cast<std::int32_t>(i)); }

/// Features of a catalog, whose last items equal first ones in two cases, and a quantizer trained without them.
struct growing_catalog {
  cpu::backend backend = cpu::backend(1);
  host_array<float, 2> all = catalog::make_synthetic_dataset({.items = items, .users = 1}, 0).features[0];
  quantize::residual_kmeans<cpu::backend> model;

  growing_catalog() : model(trained()) {
    for (std::size_t j = 0; j < all.shape(1); ++j) all(items - 1, j) = all(items - 2, j) = all(0, j);
  }
  quantize::residual_kmeans<cpu::backend> trained() {
    embed::matrix_features const features(view_of(all));
    return quantize::fit_residual_kmeans(backend, embed::selected_features(features, rows(0, items - later)),
                                         {.codes = {8, 8, 8}});
  }
  static std::vector<index_t> rows(index_t first, index_t last) {
    std::vector<index_t> selected;
    for (index_t i = first; i < last; ++i) selected.push_back(i);
    return selected;
  }
  pipeline::translated_catalog translate(std::vector<index_t> rows, pipeline::any_collision_policy const& policy,
                                         quantize::code_table kept = {}) {
    return pipeline::translate_catalog(backend, model, embed::matrix_features(view_of(all)),
                                       {.rows = std::move(rows), .policy = policy, .kept = std::move(kept)});
  }
};

std::vector<pipeline::any_collision_policy> const policies = {quantize::reallocate{}, quantize::match{},
                                                              quantize::suffix{}, quantize::keep_collisions{}};
}  // namespace

TEST_CASE("translate_catalog: items that come later get codes near their own, and no other item moves") {
  growing_catalog catalog;
  for (auto const& policy : policies) {
    CAPTURE(policy.index());
    auto const first = catalog.translate(catalog.rows(0, items - later), policy);
    CHECK(first.kept == 0);
    auto const grown = catalog.translate(catalog.rows(0, items), policy, first.codes);
    CHECK(grown.kept == items - later);
    for (index_t i = 0; i < items; ++i) {
      CHECK(grown.codes.has(item(i)));
      if (i < items - later) CHECK(std::ranges::equal(grown.codes.of(item(i)), first.codes.of(item(i))));
    }
    CHECK(grown.uniqueness.unique() == (policy.index() != 3));
    // twins of item 0 differ from it in the last code only, or not at all
    for (index_t const twin : {items - 2, items - 1})
      CHECK(std::ranges::equal(grown.nearest.of(item(twin)), catalog.translate({0}, policy).nearest.of(item(0))));
    // what the items before them are doesn't matter: adding in two steps gives as many sequences
    auto const some = catalog.translate(catalog.rows(0, items - later / 2), policy, first.codes);
    auto const whole = catalog.translate(catalog.rows(0, items), policy, some.codes);
    CHECK(whole.kept == items - later / 2);
    CHECK(whole.uniqueness.unique() == grown.uniqueness.unique());
    CHECK(catalog.translate(catalog.rows(0, items), policy, grown.codes).codes == grown.codes);
  }
}

TEST_CASE("translate_catalog: kept items need no features, and new items none either") {
  growing_catalog catalog;
  auto const first = catalog.translate(catalog.rows(0, items), quantize::reallocate{});
  auto const again = catalog.translate({}, quantize::reallocate{}, first.codes);
  CHECK(again.codes == first.codes);
  CHECK(again.kept == items);
  CHECK(again.reconstruction_error == 0);
  CHECK(catalog.translate({}, quantize::reallocate{}).uniqueness.missing == items);
}

TEST_CASE("translate_catalog: kept codes that don't fit are refused") {
  growing_catalog catalog;
  CHECK(complaint<error>([&] {
          return catalog.translate({0}, quantize::reallocate{}, quantize::code_table(items + 1, {8, 8, 8}));
        }) == "translate_catalog: kept codes of 121 items, but features of 120");
  CHECK_THROWS_AS(catalog.translate({0}, quantize::reallocate{}, quantize::code_table(items, {8, 8, 8, 256})), error);
  CHECK_THROWS_AS(catalog.translate({0}, quantize::suffix{}, quantize::code_table(items, {8, 8, 8})), error);
}

TEST_CASE("read_index: reads what write_index has written, and refuses what the quantizer can't have made") {
  temporary_directory const root;
  auto const path = root / "index.json";
  quantize::code_table codes(4, {3, 5});
  codes.set(item(0), std::vector{code_t{2}, code_t{4}});
  codes.set(item(2), std::vector{code_t{0}, code_t{1}});
  pipeline::write_index(path, codes, language::modality::image);
  auto const read = [&](pipeline::index_codes const& expected) { return pipeline::read_index(path, expected); };
  CHECK(read({.kind = language::modality::image, .sizes = {3, 5}, .items = 4}) == codes);
  CHECK(read({.kind = language::modality::image, .sizes = {3, 5}, .items = 9}).items() == 9);
  CHECK(complaint<file_error>([&] {
          return read({.kind = language::modality::image, .sizes = {3, 5}, .items = 2});
        }) == path.string() + ": item 2 is beyond the 2 items of the catalog");
  CHECK_THROWS_AS(read({.kind = language::modality::text, .sizes = {3, 5}, .items = 4}), file_error);
  CHECK_THROWS_AS(read({.kind = language::modality::image, .sizes = {3, 4}, .items = 4}), file_error);
  CHECK_THROWS_AS(read({.kind = language::modality::image, .sizes = {3, 5, 2}, .items = 4}), file_error);
}

namespace {
/// The bytes of a file that aren't times: of a state, all but its header.
std::string timeless(std::filesystem::path const& path) {
  auto const all = read_file(path);
  if (path.filename() != "training.safetensors") return all;
  std::uint64_t header = 0;
  std::memcpy(&header, all.data(), sizeof(header));
  return all.substr(sizeof(header) + header);
}

/// Items around a few centres, so that codes are idle and are revived.
struct shared_training {
  host_array<float, 2> rows = catalog::make_synthetic_dataset({.items = 150, .users = 1}, 0).features[0];

  pipeline::quantizer_run run_in(std::filesystem::path const& out) const {
    return {.out = out,
            .model = {.hidden = {16}, .latent_width = 4, .codes = {8, 32, 8}},
            .options = {.training = {.learning_rate = 1e-2,
                                     .epsilons = {0, 0, 0.05},
                                     .batch_size = 64,
                                     .revive_after = 1,
                                     .gradient_shards = 4},
                        .epochs = 5,
                        .autoencoder_epochs = 1,
                        .evaluate_every = 2,
                        .kmeans_iterations = 4,
                        .collapse_patience = 0},
            .resume = true};
  }
  /// Trains on some ranks, of which one is interrupted after so many updates.
  std::vector<pipeline::quantizer_run_result> train(index_t ranks, pipeline::quantizer_run const& run,
                                                    int updates = 1000) const {
    std::vector<pipeline::quantizer_run_result> results(to_size(ranks));
    train::run_on_threads(ranks, [&](train::host_communicator communicator) {
      auto mine = run;
      mine.ranks = communicator;
      cpu::backend backend(1 + communicator.rank() % 2);
      embed::matrix_features const features(view_of(rows));
      int asked = 0;
      results[to_size(communicator.rank())] = pipeline::train_quantizer(
          backend, mine, features, embed::check_finite(features, "rows"),
          {.interrupted = [&] { return communicator.rank() == ranks - 1 && ++asked > updates; }});
    });
    return results;
  }
};
}  // namespace

TEST_CASE("train_quantizer: any number of ranks writes the same files, and goes on with a run of another number") {
  temporary_directory const root;
  shared_training const with;
  auto const whole = with.train(1, with.run_in(root / "1")).front();
  CHECK(whole.status == train::run_status::finished);
  auto const revived = [](auto const& history) {
    index_t sum = 0;
    for (auto const& epoch : history) sum += epoch.revived;
    return sum;
  };
  REQUIRE(revived(whole.progress.history) > 0);
  auto const same = [&](std::filesystem::path const& out) {
    for (auto const* name : {"model.safetensors", "translator.json", "training.safetensors"}) {
      CAPTURE(name);
      CHECK(timeless(out / name) == timeless(root / "1" / name));
    }
  };
  for (index_t const ranks : {2, 3, 4}) {
    for (auto const& result : with.train(ranks, with.run_in(root / std::to_string(ranks)))) {
      CHECK(result.progress.best_epoch == whole.progress.best_epoch);
      CHECK(result.progress.history.back().evaluation == whole.progress.history.back().evaluation);
      CHECK(revived(result.progress.history) == revived(whole.progress.history));
    }
    same(root / std::to_string(ranks));
  }
  for (index_t const ranks : {1, 2, 3}) {
    auto const out = root / ("resumed-" + std::to_string(ranks));
    for (auto const& result : with.train(4, with.run_in(out), static_cast<int>(2 + 2 * ranks)))
      CHECK(result.status == train::run_status::interrupted);
    CHECK(with.train(ranks, with.run_in(out)).front().status == train::run_status::finished);
    same(out);
  }
  auto other = with.run_in(root / "1");
  other.options.training.gradient_shards = 8;
  CHECK(complaint<error>([&] {
          return with.train(2, other);
        }).ends_with("belongs to a run with gradient_shards = 4, but this one has 8"));
}

TEST_CASE("translate_catalog, learn_residual_kmeans: any number of ranks gives the same codes, checked together") {
  temporary_directory const root;
  growing_catalog catalog;
  embed::matrix_features const features(view_of(catalog.all));
  auto const learn = [&](std::string const& name, train::host_communicator const& ranks) {
    cpu::backend backend(1);
    return pipeline::learn_residual_kmeans(backend, {.out = root / name, .ranks = ranks},
                                           {.codes = {8, 8, 8}, .rotation_rounds = 1}, features);
  };
  learn("1", {});
  for (index_t const ranks : {2, 3}) {
    auto const name = std::to_string(ranks);
    train::run_on_threads(ranks, [&](train::host_communicator communicator) { learn(name, communicator); });
    for (auto const* file : {"model.safetensors", "translator.json"})
      CHECK(read_file(root / name / file) == read_file(root / "1" / file));
  }
  quantize::write_residual_kmeans(root / "kept", catalog.model);
  for (auto const& policy : policies) {
    CAPTURE(policy.index());
    auto const first = catalog.translate(catalog.rows(0, items - later), policy);
    auto const alone = catalog.translate(catalog.rows(0, items), policy, first.codes);
    for (index_t const ranks : {2, 3})
      train::run_on_threads(ranks, [&](train::host_communicator communicator) {
        cpu::backend backend(1);
        auto const model = quantize::read_residual_kmeans(backend, root / "kept");
        auto const shared = pipeline::translate_catalog(
            backend, model, features,
            {.rows = catalog.rows(0, items), .policy = policy, .kept = first.codes, .ranks = communicator});
        CHECK(shared.nearest == alone.nearest);
        CHECK(shared.codes == alone.codes);
        CHECK(shared.uniqueness == alone.uniqueness);
        CHECK(shared.outcome == alone.outcome);
        CHECK(shared.reconstruction_error == alone.reconstruction_error);
      });
  }
}

TEST_CASE("train_quantizer: without gradient_shards, a run that goes on with other ranks tells so") {
  temporary_directory const root;
  shared_training const with;
  std::string changes;
  auto run = with.run_in(root / "run");
  run.options.training.gradient_shards = 0;
  embed::matrix_features const features(view_of(with.rows));
  auto const seen = embed::check_finite(features, "rows");
  train::run_on_threads(2, [&](train::host_communicator communicator) {
    auto mine = run;
    mine.ranks = communicator;
    cpu::backend backend(2);
    int asked = 0;
    (void)pipeline::train_quantizer(backend, mine, features, seen, {.interrupted = [&] { return ++asked > 3; }});
  });
  cpu::backend backend(2);
  auto const result = pipeline::train_quantizer(
      backend, run, features, seen, {.on_changed_settings = [&](std::string const& text) { changes = text; }});
  CHECK(result.status == train::run_status::finished);
  CHECK(changes == "gradient_shards was 4 and is 1");
}

TEST_CASE("train_quantizer, translate_catalog: ranks that have several blocks of rows each give the bits of one") {
  temporary_directory const root;
  shared_training with;
  index_t const rows = 2500, width = 4;
  with.rows = host_array<float, 2>({to_size(rows), to_size(width)});
  for (index_t i = 0; i < rows; ++i)
    for (index_t j = 0; j < width; ++j)
      with.rows(to_size(i), to_size(j)) = static_cast<float>((i * (7 + 4 * j)) % (101 + j)) / 50;
  auto const run_in = [&](index_t ranks) {
    auto run = with.run_in(root / std::to_string(ranks));
    run.options.epochs = 2;
    return run;
  };
  embed::matrix_features const features(view_of(with.rows));
  auto const translate = [&](train::host_communicator const& ranks) {
    cpu::backend backend(1);
    auto const model = quantize::read_rq_vae<float>(backend, root / "1" / "model.safetensors");
    return pipeline::translate_catalog(
        backend, model, features,
        {.rows = growing_catalog::rows(0, rows), .policy = quantize::keep_collisions{}, .ranks = ranks});
  };
  (void)with.train(1, run_in(1));
  auto const alone = translate({});
  for (index_t const ranks : {2, 3}) {
    (void)with.train(ranks, run_in(ranks));
    for (auto const* name : {"model.safetensors", "translator.json", "training.safetensors"})
      CHECK(timeless(root / std::to_string(ranks) / name) == timeless(root / "1" / name));
    train::run_on_threads(ranks, [&](train::host_communicator communicator) {
      auto const shared = translate(communicator);
      CHECK(shared.codes == alone.codes);
      CHECK(shared.uniqueness == alone.uniqueness);
      CHECK(shared.reconstruction_error == alone.reconstruction_error);
    });
  }
}

TEST_CASE("learn_residual_kmeans, translate_catalog: ranks with other arguments are named") {
  temporary_directory const root;
  growing_catalog const catalog;
  auto const complaint_of = [&](auto const& task) {
    return complaint<error>([&] {
      train::run_on_threads(2, [&](train::host_communicator communicator) {
        cpu::backend backend(1);
        auto rows = catalog.all;
        task(backend, communicator, rows, communicator.rank() == 1);
      });
      return 0;
    });
  };
  auto const swap_rows = [](host_array<float, 2>& rows) {  // the same means and variance
    for (std::size_t j = 0; j < rows.shape(1); ++j) std::swap(rows(3, j), rows(4, j));
  };
  std::string const features = "rank 1: the set of features is not the same as on rank 0",
                    options = "rank 1: the set of options is not the same as on rank 0";
  auto const learn = [&](bool other_rows, bool other_options) {
    return complaint_of([&](auto& backend, auto const& ranks, auto& rows, bool last) {
      if (last && other_rows) swap_rows(rows);
      (void)pipeline::learn_residual_kmeans(backend, {.out = root / "run", .ranks = ranks},
                                            {.codes = {8, 8}, .clustering = {.seed = last && other_options ? 1u : 2u}},
                                            embed::matrix_features(view_of(rows)));
    });
  };
  CHECK(learn(true, false) == features);
  CHECK(learn(false, true) == options);
  CHECK_FALSE(std::filesystem::exists(root / "run"));

  quantize::write_residual_kmeans(root / "model", catalog.model);
  auto const translate = [&](auto const& change) {
    return complaint_of([&](auto& backend, auto const& ranks, auto& rows, bool last) {
      auto model = quantize::read_residual_kmeans(backend, root / "model");
      pipeline::translation_options how{
          .rows = growing_catalog::rows(0, items), .policy = quantize::match{}, .ranks = ranks};
      if (last) change(rows, how, model);
      (void)pipeline::translate_catalog(backend, model, embed::matrix_features(view_of(rows)), how);
    });
  };
  CHECK(translate([&](auto& rows, auto&, auto&) { swap_rows(rows); }) == features);
  CHECK(translate([](auto&, auto& how, auto&) { how.rows.pop_back(); }) == features);
  CHECK(translate([](auto&, auto& how, auto&) {
          how.kept = quantize::code_table(items, {8, 8, 8});
        }) == "rank 1: the set of kept codes is not the same as on rank 0");
  CHECK(translate([](auto&, auto& how, auto&) { how.policy = quantize::reallocate{}; }) == options);
  CHECK(translate([](auto&, auto&, auto& model) { model.mean.view_all()(0) += 1; }) ==
        "rank 1: the model is not the same as on rank 0");
}

TEST_CASE("train_quantizer: ranks with other features or options are named") {
  temporary_directory const root;
  shared_training const with;
  auto const complaint_of = [&](auto const& change) {
    return complaint<error>([&] {
      train::run_on_threads(2, [&](train::host_communicator communicator) {
        auto rows = with.rows;
        auto run = with.run_in(root / "run");
        run.ranks = communicator;
        if (communicator.rank() == 1) change(rows, run);
        cpu::backend backend(1);
        embed::matrix_features const features(view_of(rows));
        (void)pipeline::train_quantizer(backend, run, features, embed::check_finite(features, "rows"));
      });
      return 0;
    });
  };
  CHECK(complaint_of([](auto& rows, auto&) { rows(3, 0) += 1; }) ==
        "rank 1: the set of features is not the same as on rank 0");
  CHECK(complaint_of([](auto& rows, auto&) {  // the same means and variance
          for (std::size_t j = 0; j < rows.shape(1); ++j) std::swap(rows(3, j), rows(4, j));
        }) == "rank 1: the set of features is not the same as on rank 0");
  CHECK(complaint_of([](auto&, auto& run) { run.options.training.learning_rate = 1; }) ==
        "rank 1: the set of options is not the same as on rank 0");
  CHECK_FALSE(std::filesystem::exists(root / "run" / "training.safetensors"));
}

TEST_CASE("read_quantizer_description: reads what training has written, and refuses a damaged file") {
  temporary_directory const root;
  cpu::backend backend(1);
  auto const matrix = catalog::make_synthetic_dataset({.items = 60, .users = 1}, 0).features[0];
  embed::matrix_features const features(view_of(matrix));
  pipeline::learn_residual_kmeans(backend, {.out = root / "model", .kind = language::modality::image},
                                  {.codes = {7, 5}}, features);
  auto const found = pipeline::read_quantizer_description(root / "model");
  CHECK(found.quantizer == pipeline::quantizer_kind::residual_kmeans);
  CHECK(found.kind == language::modality::image);
  CHECK(found.input_width == features.width());
  CHECK(found.codes == std::vector<index_t>{7, 5});
  auto const path = root / "model" / "translator.json";
  auto const refused = [&](std::string const& text) {
    put(path, text);
    return complaint<file_error>([&] { return pipeline::read_quantizer_description(root / "model"); });
  };
  CHECK(refused("{}") == path.string() + ": key 'quantizer' is missing");
  CHECK(refused(R"({"quantizer": "vq", "modality": "text", "input_width": 3, "codes": [3]})") ==
        path.string() + ": key 'quantizer': found 'vq', expected rq-vae or residual-kmeans");
  CHECK_FALSE(refused(R"({"quantizer": "rq-vae", "modality": "taste", "input_width": 3, "codes": [3]})").empty());
  CHECK_FALSE(refused(R"({"quantizer": "rq-vae", "modality": "text", "input_width": 0, "codes": [3]})").empty());
  CHECK_FALSE(refused(R"({"quantizer": "rq-vae", "modality": "text", "input_width": 3, "codes": [3, 0]})").empty());
  CHECK_FALSE(refused(R"({"quantizer": "rq-vae", "modality": "text", "input_width": 3, "codes": []})").empty());
}

TEST_CASE("place_item: items that are added one by one get the codes that translate_catalog gives them one by one") {
  growing_catalog catalog;
  auto codes = catalog.translate(catalog.rows(0, items - later), quantize::reallocate{}).codes;
  index_t moved = 0;
  for (index_t i = items - later; i < items; ++i) {
    auto const expected = catalog.translate({i}, quantize::reallocate{}, codes);
    std::set<std::vector<code_t>> taken;
    for (index_t other = 0; other < items; ++other)
      if (auto const theirs = codes.of(item(other)); !theirs.empty()) taken.emplace(theirs.begin(), theirs.end());
    auto const features = view_of(catalog.all).row(i);
    auto const placed = quantize::place_item(catalog.backend, catalog.model, host_vector_view<float const>(features),
                                             [&](std::span<code_t const> own) {
                                               return taken.contains({own.begin(), own.end()});
                                             });
    CHECK(std::ranges::equal(placed, expected.codes.of(item(i))));
    moved += expected.outcome.moved;
    codes = expected.codes;
  }
  CHECK(moved > 0);
  auto const any = host_vector_view<float const>(view_of(catalog.all).row(0));
  CHECK_THROWS_AS(
      quantize::place_item(catalog.backend, catalog.model, any, [](std::span<code_t const>) { return true; }), error);
}

TEST_CASE("place_sequence: an item inserted into a live catalog gets a sequence of its own near its features") {
  growing_catalog catalog;
  auto const first = catalog.translate(catalog.rows(0, items - later), quantize::reallocate{});
  auto const vocab = pipeline::vocabulary_for(language::modality::text, first.codes.sizes());
  search::live_catalog live({language::to_tokens(std::as_const(first.codes).all(), vocab, language::modality::text)},
                            {.vocab = vocab});
  for (index_t i = items - later; i < items; ++i) {
    auto const features = host_vector_view<float const>(view_of(catalog.all).row(i));
    // example-begin place
    auto const version = live.version();
    auto const sequence =
        pipeline::place_sequence(catalog.backend, catalog.model, features, {version, language::modality::text, vocab});
    live.set(item(i), {sequence});
    // example-end place
  }
  auto const grown = live.version();
  CHECK(language::duplicate_items(grown.table(language::modality::text)) == 0);
  CHECK(language::items_with_sequence(grown.table(language::modality::text)) == items);
  // an item that is placed again keeps its sequence; without its number that is taken
  for (index_t i = items - later; i < items; ++i) {
    auto const features = host_vector_view<float const>(view_of(catalog.all).row(i));
    pipeline::placement where{grown, language::modality::text, vocab};
    auto const own = grown.sequence(language::modality::text, item(i));
    CHECK_FALSE(std::ranges::equal(pipeline::place_sequence(catalog.backend, catalog.model, features, where), own));
    where.item = item(i);
    CHECK(std::ranges::equal(pipeline::place_sequence(catalog.backend, catalog.model, features, where), own));
  }
  // a twin of item 0 has its first code
  CHECK(grown.sequence(language::modality::text, item(items - 1))[0] ==
        grown.sequence(language::modality::text, item(0))[0]);
}
