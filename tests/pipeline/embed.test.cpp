#include "mql4grec/pipeline/embed.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <memory>
#include <set>

#include "catalog/scratch.hpp"
#include "mql4grec/embed/encoder/any_text_encoder.hpp"
#include "mql4grec/embed/npy_features.hpp"
#if MQL4GREC_HAS_UTF8PROC
#include "mql4grec/embed/tokenizer/read_tokenizer.hpp"
#endif
#include "mql4grec/train/threads.hpp"
#include "support/check_close.hpp"
#include "support/data.hpp"

using namespace mql4grec;
using test::complaint_of;
using test::has;
using test::scratch;

namespace {

/// A token per character, and one before and one after.
struct characters {
  int shift = 0;  // of the tokens
  std::vector<token_t> encode(std::string_view text, embed::encode_options const& options) const {
    std::vector<token_t> tokens;
    for (char const c : text) tokens.push_back(token_t{c + shift});
    return embed::detail::framed(std::move(tokens), {{token_t{1}}, {token_t{2}}}, options);
  }
  index_t vocab_size() const { return 128; }
};
static_assert(embed::Tokenizer<characters>);

/// The mean token and the number of tokens of a text.
struct counting_encoder {
  using input = embed::token_batch;
  std::vector<float> weights = std::vector<float>(2);
  embed::bert_config shape = {};

  embed::bert_config const& config() const { return shape; }
  index_t features() const { return 2; }
  index_t positions() const { return 8; }
  index_t vocabulary() const { return 128; }
  host_vector_view<float const> parameters() const { return {weights.data(), 2}; }
  void encode(cpu::backend&, embed::token_batch const& batch, host_matrix_view<float> out) const {
    for (index_t i = 0; i < batch.size(); ++i) {
      index_t const begin = batch.offsets[to_size(i)], end = batch.offsets[to_size(i) + 1];
      float sum = 0;
      for (index_t t = begin; t < end; ++t) sum += static_cast<float>(index(batch.tokens[to_size(t)]));
      out(i, 0) = sum / static_cast<float>(end - begin);
      out(i, 1) = static_cast<float>(end - begin);
    }
  }
};

/// The mean of the pixels of an image, times a weight.
struct brightness_encoder {
  using input = embed::image_batch;
  std::vector<float> weights = std::vector<float>(1);

  index_t features() const { return 1; }
  host_vector_view<float const> parameters() const { return {weights.data(), 1}; }
  void encode(cpu::backend&, embed::image_batch const& batch, host_matrix_view<float> out) const {
    for (index_t i = 0; i < batch.size(); ++i) {
      double sum = 0;
      for (index_t j = 0; j < batch.pixels.columns(); ++j) sum += batch.pixels(i, j);
      out(i, 0) = static_cast<float>(sum / static_cast<double>(batch.pixels.columns()));
    }
  }
};

pipeline::item_texts many_texts(index_t items) {
  pipeline::item_texts texts(to_size(items));
  for (index_t i = 0; i < items; ++i)
    for (index_t f = 0; f < i % 3; ++f)
      texts[to_size(i)].push_back(std::string(to_size(1 + (7 * i + f) % 9), static_cast<char>('a' + i % 26)));
  return texts;
}

std::string features_of(scratch const& here, index_t threads, index_t section, index_t batch_tokens) {
  cpu::backend backend(threads);
  auto const out = here / ("features-" + std::to_string(threads) + ".npy");
  auto const result = pipeline::embed_texts(backend, counting_encoder{}, characters{}, many_texts(100),
                                            {.batch_tokens = batch_tokens}, {.out = out, .section = section});
  CHECK(result.status == train::run_status::finished);
  CHECK(result.empty == 34);
  CHECK(result.units == 99);
  CHECK(result.progress.done == 100);
  return read_file(out);
}

}  // namespace

TEST_CASE("embed_texts: a row is the mean over an item's texts, and zeros without texts") {
  scratch const here;
  cpu::backend backend;
  pipeline::item_texts const texts = {{"ab", "c"}, {}, {"abcdefghijkl"}, {"z"}};
  auto const result =
      pipeline::embed_texts(backend, counting_encoder{}, characters{}, texts, {}, {.out = here / "f.npy"});
  CHECK(result.width == 2);
  CHECK(result.tokens == 4 + 3 + 8 + 3);
  embed::npy_features const features(here / "f.npy");
  REQUIRE(features.rows() == 4);
  std::vector<float> rows(8);
  features.read(0, {rows.data(), 4, 2});
  CHECK(rows[0] == ((1 + 'a' + 'b' + 2) / 4.f + (1 + 'c' + 2) / 3.f) / 2);
  CHECK(rows[1] == 3.5f);
  CHECK(rows[2] == 0);
  CHECK(rows[3] == 0);
  CHECK(rows[5] == 8);  // the first tokens of a text that is too long
  CHECK(rows[7] == 3);
  CHECK_FALSE(std::filesystem::exists(here / "f.npy.rows"));
  CHECK_FALSE(std::filesystem::exists(here / "f.npy.state.json"));
}

TEST_CASE("embed_texts: neither threads nor batches nor sections change a row of an encoder that treats texts alone") {
  scratch const here;
  auto const once = features_of(here, 1, 1000, 1 << 20);
  CHECK(features_of(here, 1, 7, 1) == once);
  CHECK(features_of(here, 2, 13, 20) == once);
}

TEST_CASE("embed_texts: an interrupted run continues with the same bits") {
  scratch const here;
  auto const whole = features_of(here, 1, 10, 64);
  cpu::backend backend;
  auto const out = here / "resumed.npy";
  index_t asked = 0;
  pipeline::embedding_run run{.out = out, .section = 10, .interrupted = [&] { return ++asked > 20; }};
  auto const texts = many_texts(100);
  auto const embed = [&] {
    return pipeline::embed_texts(backend, counting_encoder{}, characters{}, texts, {.batch_tokens = 64}, run);
  };
  auto const first = embed();
  CHECK(first.status == train::run_status::interrupted);
  CHECK(first.progress.done > 0);
  CHECK(first.progress.done < 100);
  CHECK_FALSE(std::filesystem::exists(out));
  CHECK(has(complaint_of(embed), "state.json: is the state of an interrupted run; resume it, or remove it"));
  run.how = embed::feature_run::resume;
  run.interrupted = [] { return false; };
  CHECK(embed().status == train::run_status::finished);
  CHECK(read_file(out) == whole);
}

TEST_CASE("embed_texts: any number of ranks writes the file of a single process; any of them can interrupt it") {
  scratch const here;
  auto const whole = features_of(here, 1, 9, 64);
  auto const texts = many_texts(100);  // 12 sections
  for (index_t ranks : {1, 2, 3, 15}) {
    auto const out = here / ("ranks-" + std::to_string(ranks) + ".npy");
    auto const embed = [&](embed::feature_run how, index_t stopping) {
      std::vector<pipeline::embedding_result> results(to_size(ranks));
      train::run_on_threads(ranks, [&](train::host_communicator communicator) {
        cpu::backend backend;
        index_t asked = 0;
        auto const rank = communicator.rank();
        results[to_size(rank)] =
            pipeline::embed_texts(backend, counting_encoder{}, characters{}, texts, {.batch_tokens = 64},
                                  {.out = out,
                                   .how = how,
                                   .section = 9,
                                   .interrupted = [&] { return rank == stopping && ++asked > 3; },
                                   .ranks = communicator});
      });
      return results;
    };
    bool const stops = ranks < 15;  // otherwise one round is all
    if (stops)
      for (auto const& result : embed(embed::feature_run::begin, ranks / 2)) {
        CHECK(result.status == train::run_status::interrupted);
        CHECK(result.progress.done < 100);
        CHECK(result.progress.done > 0);
      }
    CHECK_FALSE(std::filesystem::exists(out));
    for (auto const& result : embed(stops ? embed::feature_run::resume : embed::feature_run::begin, -1)) {
      CHECK(result.status == train::run_status::finished);
      CHECK(result.progress.done == 100);
      if (!stops) CHECK(result.empty == 34);
      if (!stops) CHECK(result.units == 99);
    }
    CHECK(read_file(out) == whole);
  }
  CHECK(complaint_of([&] {
          train::run_on_threads(2, [&](train::host_communicator communicator) {
            cpu::backend backend;
            (void)pipeline::embed_texts(backend, counting_encoder{}, characters{}, many_texts(10 + communicator.rank()),
                                        {}, {.out = here / "other.npy", .ranks = communicator});
          });
        }) == "rank 1: the set of inputs is not the same as on rank 0");
  CHECK(complaint_of([&] {
          train::run_on_threads(2, [&](train::host_communicator communicator) {
            cpu::backend backend;
            (void)pipeline::embed_texts(backend, counting_encoder{},
                                        characters{.shift = static_cast<int>(communicator.rank())}, many_texts(10), {},
                                        {.out = here / "other.npy", .ranks = communicator});
          });
        }) == "rank 1: the set of inputs is not the same as on rank 0");
  CHECK_FALSE(std::filesystem::exists(here / "other.npy.rows"));
}

TEST_CASE("embed_texts: a run is resumed with the same inputs only") {
  scratch const here;
  cpu::backend::options how;
  index_t asked = 0;
  pipeline::embedding_run run{
      .out = here / "f.npy", .how = embed::feature_run::resume, .section = 10, .interrupted = [&] {
        return ++asked > 20;
      }};
  auto texts = many_texts(100);
  counting_encoder encoder;
  characters tokenizer;
  pipeline::text_embedding_options options{.batch_tokens = 64};
  auto const embed = [&] {
    cpu::backend backend(how);
    return pipeline::embed_texts(backend, encoder, tokenizer, texts, options, run);
  };
  REQUIRE(embed().status == train::run_status::interrupted);
  run.interrupted = [] { return false; };
  texts[50].push_back("new");
  CHECK(has(complaint_of(embed), "f.npy.state.json: the interrupted run had another texts"));
  encoder.weights[0] = 1;
  CHECK(has(complaint_of(embed), "another encoder, texts"));
  texts = many_texts(100);
  encoder.weights[0] = 0;
  encoder.shape.epsilon = 1e-6;
  CHECK(has(complaint_of(embed), "another configuration;"));
  encoder.shape = {};
  tokenizer.shift = 1;
  CHECK(has(complaint_of(embed), "another tokenizer;"));
  tokenizer.shift = 0;
  how.products = precision::bf16;
  CHECK(has(complaint_of(embed), "another precision;"));
  how.products = precision::fp32;
  options.max_tokens = 5;
  CHECK(has(complaint_of(embed), "another max_tokens"));
  options.max_tokens = 512;
  texts.emplace_back();
  CHECK(has(complaint_of(embed), "has 100 rows of 2 values, this one 101 of 2"));
  texts.pop_back();
  std::filesystem::resize_file(here / "f.npy.rows", 130);
  CHECK(has(complaint_of(embed), "f.npy.rows: has 130 bytes, expected at least"));
  write_file(here / "f.npy.state.json", "{}");
  CHECK(has(complaint_of(embed), "f.npy.state.json: key 'rows' is missing"));
}

TEST_CASE("checksum_of: the same texts of other items, and texts that are divided otherwise, differ") {
  std::vector<pipeline::item_texts> const all = {{{"ab"}, {}},   {{}, {"ab"}}, {{"a", "b"}, {}}, {{"a"}, {"b"}},
                                                 {{"", ""}, {}}, {{""}, {""}}, {{}, {}, {}}};
  std::set<std::uint64_t> sums;
  for (auto const& texts : all) sums.insert(pipeline::detail::checksum_of(texts));
  CHECK(sums.size() == all.size());
}

TEST_CASE("json_of: encoders of the same sizes and other arithmetic differ") {
  using pipeline::detail::json_of;
  embed::llama_config llama;
  auto const before = json_of(llama);
  llama.rotary.base = 1e6;
  CHECK(json_of(llama) != before);
  llama.rotary.base = 10000;
  llama.rotary_divisors = std::vector<float>(64, 2.f);
  CHECK(json_of(llama) != before);
  CHECK(json_of(embed::clip_vision_config{.activation = embed::clip_activation::gelu}) !=
        json_of(embed::clip_vision_config{}));
  CHECK(json_of(embed::bert_config{.heads = 6}) != json_of(embed::bert_config{}));
}

TEST_CASE("feature_writer: a run that was killed after its file was put in place is ended by resuming it") {
  scratch const here;
  auto const path = here / "f.npy", state = here / "f.npy.state.json";
  std::vector<float> const values = {1, 2, 3, 4, 5, 6};
  auto const writer = [&](embed::feature_run how) {
    return std::make_unique<embed::feature_writer>(path, embed::feature_shape{2, 3}, json{{"a", 1}}, how);
  };
  auto first = writer(embed::feature_run::begin);
  first->append({values.data(), 2, 3});
  auto const text = read_file(state);
  first->commit();
  auto const file = read_file(path);
  write_file(state, text);
  CHECK(has(complaint_of([&] { writer(embed::feature_run::begin); }), "is the state of an interrupted run"));
  auto again = writer(embed::feature_run::resume);
  CHECK(again->done() == 2);
  again->commit();
  CHECK_FALSE(std::filesystem::exists(state));
  CHECK(read_file(path) == file);
  write_file(state, text);
  write_file(path, file.substr(1));  // another one
  CHECK(has(complaint_of([&] { writer(embed::feature_run::resume); }), "f.npy.rows: can't be opened for writing"));
}

TEST_CASE("texts_of: the fields in their order, without empty ones") {
  catalog::item_descriptions const descriptions = {{item_id{1}, {.title = "t", .description = "d", .brand = "b"}},
                                                   {item_id{2}, {.description = "only"}}};
  auto const texts = pipeline::texts_of(descriptions, 4);
  CHECK(texts == pipeline::item_texts{{}, {"t", "d"}, {"only"}, {}});
  auto const all = pipeline::texts_of(descriptions, 4, {.empty = pipeline::empty_fields::encode});
  CHECK(all == pipeline::item_texts{{}, {"t", "d"}, {"", "only"}, {}});
  auto const brands = pipeline::texts_of(
      descriptions, 3, {.fields = {pipeline::text_field_named("brand"), pipeline::text_field::title}});
  CHECK(brands == pipeline::item_texts{{}, {"b", "t"}, {}});
  CHECK(has(complaint_of([&] { (void)pipeline::texts_of(descriptions, 2); }),
            "item 2 has a description, expected below 2"));
  CHECK(has(complaint_of([] { (void)pipeline::text_field_named("price"); }), "field 'price', expected title"));
}

TEST_CASE("read_item_content: the items of whichever files exist") {
  scratch const here;
  auto const directory = here / "Shop";
  std::filesystem::create_directories(directory);
  auto const content = [&] { return pipeline::read_item_content(directory); };
  CHECK(has(complaint_of([&] { (void)content(); }),
            "Shop.item.json: is missing, and so are Shop.inter.json and Shop.item2id"));
  write_file(directory / "Shop.item2id", "B1\t0\nB2\t1\n");
  CHECK(content().items == 2);
  write_file(directory / "Shop.item.json", R"({"4": {"title": "x"}})");
  CHECK(content().items == 5);
  write_file(directory / "Shop.inter.json", R"({"u": [6, 1]})");
  CHECK(content().items == 7);
  CHECK(has(complaint_of([&] { (void)pipeline::read_item_content(here / "none"); }), "isn't a directory"));
}

#if MQL4GREC_HAS_IMAGES
TEST_CASE("embed_images: one bad image is named and its row is zeros, the others go on; strict stops") {
  scratch const here;
  std::filesystem::path const golden = MQL4GREC_TEST_GOLDEN_DIR "/images";
  write_file(here / "bad.png", "not a picture");
  std::vector<std::filesystem::path> const images = {
      golden / "jpeg_420.jpg", {}, here / "bad.png", golden / "png_color2_8bit.png", golden / "missing.png"};
  cpu::backend backend(2);
  pipeline::image_embedding_options options{.batch = 2};
  options.reading.preprocessing.shortest_edge = 8;
  options.reading.preprocessing.crop = {8, 8};
  auto const embed = [&](char const* name) {
    return pipeline::embed_images(backend, brightness_encoder{}, images, options, {.out = here / name, .section = 3});
  };
  auto const result = embed("f.npy");
  CHECK(result.empty == 1);
  CHECK(result.units == 2);
  REQUIRE(result.bad.size() == 2);
  CHECK(result.bad[0].row == 2);
  CHECK(has(result.bad[0].message, "bad.png: "));
  CHECK(result.bad[1].row == 4);
  embed::npy_features const features(here / "f.npy");
  std::vector<float> rows(5);
  features.read(0, {rows.data(), 5, 1});
  CHECK(rows[0] != 0);
  CHECK(rows[1] == 0);
  CHECK(rows[2] == 0);
  CHECK(rows[3] != 0);
  CHECK(rows[4] == 0);
  train::run_on_threads(3, [&](train::host_communicator communicator) {
    cpu::backend own(1);
    auto const shared = pipeline::embed_images(own, brightness_encoder{}, images, options,
                                               {.out = here / "shared.npy", .section = 1, .ranks = communicator});
    CHECK(shared.empty == 1);
    CHECK(shared.units == 2);
    REQUIRE(shared.bad.size() == 2);
    for (std::size_t i = 0; i < 2; ++i) {
      CHECK(shared.bad[i].row == result.bad[i].row);
      CHECK(shared.bad[i].message == result.bad[i].message);
    }
  });
  CHECK(read_file(here / "shared.npy") == read_file(here / "f.npy"));
  CHECK(complaint_of([&] {
          train::run_on_threads(2, [&](train::host_communicator communicator) {
            cpu::backend own(1);
            auto mine = options;
            if (communicator.rank() == 1) mine.reading.preprocessing.rescale = 1;
            (void)pipeline::embed_images(own, brightness_encoder{}, images, mine,
                                         {.out = here / "other.npy", .ranks = communicator});
          });
        }) == "rank 1: the set of inputs is not the same as on rank 0");
  options.reading.strict = true;
  CHECK(has(complaint_of([&] { (void)embed("strict.npy"); }), "bad.png: "));
  CHECK_FALSE(std::filesystem::exists(here / "strict.npy"));
  auto const resumed = [&] {
    return pipeline::embed_images(backend, brightness_encoder{}, images, options,
                                  {.out = here / "r.npy", .how = embed::feature_run::resume, .section = 2});
  };
  CHECK(has(complaint_of([&] { (void)resumed(); }), "bad.png: "));
  options.reading.strict = false;
  options.reading.preprocessing.rescale = 1;
  CHECK(has(complaint_of([&] { (void)resumed(); }), "the interrupted run had another preprocessing;"));
  options.reading.preprocessing.rescale = 1 / 255.;
  CHECK(resumed().progress.here == 3);
  CHECK(read_file(here / "r.npy") == read_file(here / "f.npy"));
}
#endif

#if MQL4GREC_HAS_UTF8PROC
// Scientific.emb-minilm-td.npy: title and description by all-MiniLM-L6-v2, 256 tokens, mean of the fields.
TEST_CASE("embed_texts: MiniLM's features of real titles and descriptions" * doctest::test_suite("slow")) {
  auto const weights = test::pretrained("minilm");
  auto const directory = test::real_dataset("Scientific");
  if (!weights || !directory) return;
  scratch const here;
  cpu::backend backend(0);
  auto const encoder = embed::read_text_encoder<float>(backend, *weights);
  auto const tokenizer = embed::read_tokenizer(*weights);
  auto const content = pipeline::read_item_content(*directory);
  auto texts = pipeline::texts_of(content.descriptions, content.items, {.empty = pipeline::empty_fields::encode});
  // every eighth item here; docs/results.md has all of them
  for (std::size_t i = 0; i < texts.size(); ++i)
    if (i % 8 != 0) texts[i].clear();
  (void)pipeline::embed_texts(backend, encoder, tokenizer, texts, {.max_tokens = 256}, {.out = here / "f.npy"});
  embed::npy_features const ours(here / "f.npy"), theirs(*directory / "Scientific.emb-minilm-td.npy");
  REQUIRE(ours.rows() == theirs.rows());
  REQUIRE(ours.width() == theirs.width());
  std::vector<float> a(to_size(ours.width())), b(a.size());
  double largest = 0;
  for (index_t i = 0; i < ours.rows(); i += 8) {
    ours.read(i, {a.data(), 1, ours.width()});
    theirs.read(i, {b.data(), 1, ours.width()});
    for (std::size_t j = 0; j < a.size(); ++j) largest = test::larger(largest, std::abs(a[j] - b[j]));
  }
  CHECK(largest < 1e-4);
}
#endif
