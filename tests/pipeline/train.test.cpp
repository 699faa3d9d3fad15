#include "mql4grec/pipeline/train.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <set>
#include <string>

#include "core/temporary_directory.hpp"
#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/pipeline/evaluate.hpp"
#include "mql4grec/recommender.hpp"
#include "mql4grec/train/threads.hpp"
#include "support/instruction_sets.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
language::vocabulary const& vocab() {
  static language::vocabulary const small({.modalities = {{"a", {3, 3}}, {"A", {3, 3}}}});
  return small;
}

/// Nine items, and users whose histories cycle through them in steps of `stride`.
tasks::dataset walkers(index_t users, index_t stride) {
  tasks::dataset data;
  for (index_t u = 0; u < users; ++u) {
    std::vector<item_id> items;
    for (index_t i = 0; i < 5; ++i) items.push_back(item_id((u + i * stride) % 9));
    data.interactions.add_user(std::to_string(u), items);
  }
  data.interactions.item_count = 9;
  for (auto kind : {language::modality::text, language::modality::image}) {
    auto& table = data.tokens.emplace_back(kind, 9, 2);
    for (index_t i = 0; i < 9; ++i)
      table.set(item_id(i), std::vector{vocab().token(kind, 0, code_t(i / 3)), vocab().token(kind, 1, code_t(i % 3))});
  }
  return data;
}
std::vector<tasks::dataset> datasets() { return {walkers(6, 1), walkers(3, 2)}; }

pipeline::run_options run_in(std::filesystem::path const& out) {
  auto model = small_t5();
  model.model_width = 8;
  return {.out = out,
          .tasks = "next",
          .training = {.epochs = 3, .batch_size = 10, .learning_rate = 1e-2, .dropout = 0.1, .patience = 0, .seed = 4},
          .model = model};
}
pipeline::run_result trained(pipeline::run_options const& options, pipeline::run_observer const& observer = {},
                             std::vector<tasks::dataset> data = datasets()) {
  cpu::backend b;
  return pipeline::train_model(b, options, {std::move(data), vocab()}, observer);
}
/// An observer that ends a call after so many updates.
pipeline::run_observer stops_after(int updates) {
  return {.interrupted = [updates, calls = 0]() mutable { return calls++ == updates; }};
}

/// The files of a finished run that don't know what time it was.
std::vector<std::string> timeless_files(std::filesystem::path const& run) {
  return {read_file(run / "config.json"), read_file(run / "model.safetensors"), read_file(run / "mql4grec.json")};
}
double validation_loss(std::filesystem::path const& run) {
  cpu::backend b;
  auto model = seq2seq::read_model<float>(b, run);
  return seq2seq::trainer<cpu::backend, float>(b, model, run_in(run).training)
      .mean_loss(tasks::validation_set(tasks::next_only(), datasets(), vocab()));
}
}  // namespace

TEST_CASE("train: a run's directory contains the model, its metadata and the state, and no temporary files") {
  temporary_directory const root;
  auto const out = root / "some/where";
  auto const result = trained(run_in(out));
  CHECK(result.status == train::run_status::finished);
  CHECK(result.progress.finished);
  CHECK(result.progress.epoch == 3);
  std::set<std::string> names;
  for (auto const& entry : std::filesystem::directory_iterator(out)) names.insert(entry.path().filename().string());
  CHECK(names == std::set<std::string>{"config.json", "model.safetensors", "mql4grec.json", "training.safetensors"});
  CHECK(pipeline::read_model_metadata(out).vocab == vocab());
  CHECK(pipeline::read_model_metadata(out).tasks == "next");
  CHECK(seq2seq::read_t5_config(out / "config.json").vocabulary == vocab().size());
}

TEST_CASE("train: the model with the lowest validation loss is kept") {
  temporary_directory const root;
  seq2seq::training_progress progress;
  std::filesystem::path run;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {  // with so high a rate the last epoch is the best only by chance
    run = root / std::to_string(seed);
    auto options = run_in(run);
    options.training.epochs = 12;
    options.training.learning_rate = 0.3;
    options.training.curve = seq2seq::learning_curve::constant;
    options.training.seed = seed;
    progress = trained(options).progress;
    if (progress.best_epoch < 12) break;
  }
  REQUIRE(progress.best_epoch < 12);
  CHECK(validation_loss(run) == progress.best_loss);
  CHECK(progress.history[static_cast<std::size_t>(progress.best_epoch) - 1].valid_loss == progress.best_loss);
  for (auto const& epoch : progress.history) CHECK(epoch.valid_loss >= progress.best_loss);
}

TEST_CASE("train: files are determined by options, data and seed") {
  temporary_directory const root;
  trained(run_in(root / "one"));
  trained(run_in(root / "two"));
  CHECK(timeless_files(root / "one") == timeless_files(root / "two"));
  auto other = run_in(root / "three");
  other.training.seed = 5;
  trained(other);
  CHECK(read_file(root / "one/model.safetensors") != read_file(root / "three/model.safetensors"));
}

TEST_CASE("train: a directory with a run is refused and unchanged unless the run is resumed") {
  temporary_directory const root;
  auto const out = root / "run";
  trained(run_in(out));
  auto const before = timeless_files(out);
  auto const state = read_file(out / "training.safetensors");
  auto again = run_in(out);
  again.training.seed = 5;
  CHECK(complaint<error>([&] { return trained(again); }) ==
        out.string() + ": holds a training run; resume it, or write to another directory");
  CHECK(timeless_files(out) == before);
  CHECK(read_file(out / "training.safetensors") == state);
  again.resume = true;
  CHECK(complaint<file_error>([&] {
          return trained(again);
        }).ends_with("belongs to a run with seed = 4, but this one has 5"));
  auto same = run_in(out);
  same.resume = true;
  CHECK(trained(same).status == train::run_status::finished);  // there is nothing left to do
  CHECK(timeless_files(out) == before);
}

TEST_CASE("train: a run whose steps pack their weights resumes to the same bits") {
  temporary_directory const root;
  auto const in_small_parts = [&](char const* name) {
    auto options = run_in(root / name);
    options.training.block_tokens = 1;  // every sequence is a micro-batch
    options.resume = true;
    return options;
  };
  trained(in_small_parts("whole"));
  CHECK(trained(in_small_parts("pieces"), stops_after(3)).status == train::run_status::interrupted);
  CHECK(trained(in_small_parts("pieces")).progress.finished);
  CHECK(timeless_files(root / "pieces") == timeless_files(root / "whole"));
}

TEST_CASE(
    "train: a run in bf16 resumes in bf16 to the same bits; resuming in fp32 works and reports the change of "
    "precision") {
  for_each_bf16_product([] {
    temporary_directory const root;
    auto const rounding = [&](pipeline::run_options const& options, pipeline::run_observer const& observer = {}) {
      cpu::backend b(1, precision::bf16);
      return pipeline::train_model(b, options, {datasets(), vocab()}, observer);
    };
    rounding(run_in(root / "whole"));
    auto options = run_in(root / "pieces");
    options.resume = true;
    CHECK(rounding(options, stops_after(3)).status == train::run_status::interrupted);
    std::filesystem::copy(root / "pieces", root / "changed");
    std::vector<std::string> reported_changes;
    pipeline::run_observer listener;
    listener.on_changed_settings = [&](std::string const& changes) { reported_changes.push_back(changes); };
    CHECK(rounding(options, listener).progress.finished);
    CHECK(reported_changes.empty());
    CHECK(timeless_files(root / "pieces") == timeless_files(root / "whole"));
    auto changed = run_in(root / "changed");
    changed.resume = true;
    changed.training.block_tokens = 7;
    cpu::backend exact(2);
    CHECK(pipeline::train_model(exact, changed, {datasets(), vocab()}, listener).progress.finished);
    REQUIRE(reported_changes.size() == 1);
    CHECK(reported_changes.front() ==
          "precision was \"bf16\" and is \"fp32\", block_tokens was 512 and is 7, threads was 1 and is 2");
  });
}

TEST_CASE(
    "train: a run whose learning rate is constant may be given more epochs, one whose cosine ends with them may not") {
  temporary_directory const root;
  auto const with_epochs = [&](index_t epochs, seq2seq::learning_curve curve, std::filesystem::path const& out) {
    auto options = run_in(out);
    options.resume = true;
    options.training.curve = curve;
    options.training.epochs = epochs;
    return options;
  };
  CHECK(trained(with_epochs(2, seq2seq::learning_curve::constant, root / "grown")).progress.finished);
  auto const grown = trained(with_epochs(3, seq2seq::learning_curve::constant, root / "grown"));
  CHECK(grown.progress.finished);
  CHECK(grown.progress.epoch == 3);
  trained(with_epochs(3, seq2seq::learning_curve::constant, root / "whole"));
  CHECK(timeless_files(root / "grown") == timeless_files(root / "whole"));
  trained(with_epochs(2, seq2seq::learning_curve::cosine, root / "cosine"));
  CHECK(complaint<file_error>([&] { return trained(with_epochs(3, seq2seq::learning_curve::cosine, root / "cosine")); })
            .ends_with("belongs to a run with epochs = 2, but this one has 3: the cosine of its learning rates ends "
                       "with the last one"));
}

TEST_CASE("train: a run interrupted repeatedly ends with the files of an uninterrupted one") {
  temporary_directory const root;
  auto const expected = trained(run_in(root / "whole")).progress;
  auto options = run_in(root / "pieces");
  options.resume = true;  // also where there is nothing to resume yet
  int calls = 0;
  pipeline::run_result last;
  do {
    last = trained(options, stops_after(2));
    CHECK(last.progress.step == std::min<std::int64_t>(2 * ++calls, expected.step));
    REQUIRE(calls < 100);
  } while (last.status == train::run_status::interrupted);
  CHECK(last.progress.finished);
  CHECK(calls > 5);
  CHECK(timeless_files(root / "pieces") == timeless_files(root / "whole"));
  CHECK(last.progress.best_loss == expected.best_loss);
}

TEST_CASE("train: a time limit of zero writes a model, and the run can be resumed") {
  temporary_directory const root;
  auto options = run_in(root / "run");
  options.limits.max_seconds = 0;
  auto const result = trained(options);
  CHECK(result.status == train::run_status::out_of_time);
  CHECK(result.progress.step == 0);
  CHECK(std::isfinite(validation_loss(root / "run")));
  options.limits.max_seconds = INFINITY;
  options.resume = true;
  CHECK(trained(options).status == train::run_status::finished);
  trained(run_in(root / "whole"));
  CHECK(timeless_files(root / "run") == timeless_files(root / "whole"));
}

TEST_CASE("train: the state is written at the requested interval") {
  temporary_directory const root;
  auto options = run_in(root / "run");
  options.limits.checkpoint_seconds = 0;
  auto const saved_step = [&] {
    return parse_json(safetensors(root / "run/training.safetensors").metadata().at("progress"), "")
        .at("step")
        .get<std::int64_t>();
  };
  std::int64_t calls = 0;
  trained(options, {.on_step =
                        [&](seq2seq::training_progress const& p, double, std::int64_t) {
                          CHECK(saved_step() == p.step - 1);
                          ++calls;
                        },
                    .on_epoch = [&](seq2seq::training_progress const& p, bool) { CHECK(saved_step() == p.step); }});
  CHECK(calls == saved_step());
}

TEST_CASE("train: models after the epochs to keep are model directories, also of a run that was interrupted") {
  temporary_directory const root;
  auto const kept_in = [&](std::string const& name) {
    auto options = run_in(root / name);
    options.keep_epochs = {1, 3};
    options.resume = true;
    return options;
  };
  std::vector<std::string> after_epoch_1;  // of a run whose first epoch is its best one so far
  trained(kept_in("whole"), {.on_epoch = [&](seq2seq::training_progress const& p, bool better) {
            CHECK(std::filesystem::exists(root / "whole/epoch-1/model.safetensors"));
            if (p.epoch == 1 && better) after_epoch_1 = timeless_files(root / "whole");
          }});
  CHECK(timeless_files(root / "whole/epoch-1") == after_epoch_1);
  CHECK(timeless_files(root / "whole/epoch-3") != after_epoch_1);
  CHECK(!std::filesystem::exists(root / "whole/epoch-2"));
  trained(run_in(root / "plain"));
  CHECK(timeless_files(root / "whole") == timeless_files(root / "plain"));  // nothing else changes
  while (trained(kept_in("pieces"), stops_after(2)).status == train::run_status::interrupted) {
  }
  for (char const* epoch : {"epoch-1", "epoch-3"})
    CHECK(timeless_files(root / "pieces" / epoch) == timeless_files(root / "whole" / epoch));
  auto next = run_in(root / "next");
  next.init = root / "whole/epoch-3";
  trained(next, stops_after(0));
  CHECK(read_file(root / "next/model.safetensors") == read_file(root / "whole/epoch-3/model.safetensors"));
}

TEST_CASE("train: a killed run writes a kept epoch again; epochs can be added to those to keep until they are over") {
  temporary_directory const root;
  auto options = run_in(root / "run");
  options.keep_epochs = {1};
  options.limits.checkpoint_seconds = 0;
  struct killed {};
  auto const in_epoch_2 = [](seq2seq::training_progress const& p, double, std::int64_t) {
    if (p.epoch == 1) throw killed();
  };
  CHECK_THROWS_AS(trained(options, {.on_step = in_epoch_2}), killed);
  auto const kept = timeless_files(root / "run/epoch-1");
  std::filesystem::remove(root / "run/epoch-1/model.safetensors");  // as if killed while it was written
  options.resume = true;
  CHECK(complaint<file_error>([&] { return trained(options); }) ==
        (root / "run/epoch-1").string() +
            ": epoch 1 is over and its model wasn't kept; leave it out of the epochs to keep");
  options.keep_epochs = {2};
  trained(options);
  CHECK(std::filesystem::exists(root / "run/epoch-2/model.safetensors"));

  auto again = run_in(root / "again");
  again.keep_epochs = {1};
  again.resume = true;
  // the state is that before the end of epoch 1, the kept model is half written
  trained(again, stops_after(2));
  std::filesystem::create_directory(root / "again/epoch-1");
  put(root / "again/epoch-1/model.safetensors.partial", "x");
  put(root / "again/epoch-1/mql4grec.json", "{");
  trained(again);
  CHECK(timeless_files(root / "again/epoch-1") == kept);
}

TEST_CASE("train: epochs to keep are epochs of the run, and no other model is overwritten by them") {
  temporary_directory const root;
  auto options = run_in(root / "run");
  options.keep_epochs = {0};
  CHECK(complaint<error>([&] { return trained(options); }) == "keep_epochs: epoch 0 of a run with 3, expected 1 to 3");
  options.keep_epochs = {1, 4};
  CHECK(complaint<error>([&] { return trained(options); }) == "keep_epochs: epoch 4 of a run with 3, expected 1 to 3");
  trained(run_in(root / "run/epoch-2"));
  auto const other = timeless_files(root / "run/epoch-2");
  options.keep_epochs = {2};
  CHECK_THROWS_AS(trained(options), error);
  CHECK(timeless_files(root / "run/epoch-2") == other);
}

TEST_CASE("train: a run can start from the model of another directory") {
  temporary_directory const root;
  trained(run_in(root / "first"));
  auto options = run_in(root / "second");
  options.init = root / "first";
  options.training.seed = 6;
  trained(options, stops_after(0));
  CHECK(read_file(root / "second/model.safetensors") == read_file(root / "first/model.safetensors"));
  options.resume = true;
  CHECK(trained(options).status == train::run_status::finished);
  CHECK(read_file(root / "second/model.safetensors") != read_file(root / "first/model.safetensors"));
}

TEST_CASE("train: a resumed run reads its model shape from the directory") {
  temporary_directory const root;
  cpu::backend b;
  seq2seq::t5_config shape = small_t5();
  shape.vocabulary = vocab().size();
  seq2seq::write_model(root / "first", random_t5<float>(b, shape));
  auto options = run_in(root / "run");
  options.init = root / "first";
  trained(options, stops_after(1));
  options.init.reset();
  options.resume = true;
  CHECK(trained(options).status == train::run_status::finished);
  CHECK(seq2seq::read_t5_config(root / "run/config.json").model_width == shape.model_width);
}

TEST_CASE("train: the time of the split is part of the run and of the model's metadata") {
  temporary_directory const root;
  auto const at = [](double until) {
    auto data = datasets();
    for (auto& one : data) {
      std::vector<double> times;
      for (index_t u = 0; u < one.interactions.users(); ++u) times.insert(times.end(), {1, 2, 3, 4, 5});
      catalog::split_by_time(one.interactions, times, until);
    }
    return data;
  };
  auto options = run_in(root / "run");
  options.resume = true;
  trained(options, stops_after(1), at(4.5));
  CHECK(pipeline::read_model_metadata(root / "run").until == 4.5);
  CHECK(complaint<file_error>([&] {
          return trained(options, {}, at(5));
        }).ends_with("belongs to a run with until = 4.5, but this one has 5.0"));
  CHECK(trained(options, {}, at(4.5)).status == train::run_status::finished);
  auto mixed = at(5);
  mixed.pop_back();
  mixed.push_back(walkers(3, 2));
  CHECK_THROWS_AS(trained(run_in(root / "mixed"), {}, mixed), error);
  trained(run_in(root / "other"), stops_after(1));
  CHECK(!pipeline::read_model_metadata(root / "other").until);
}

TEST_CASE("train: a run on some of the users resumes to the same bits, and only with these users") {
  temporary_directory const root;
  auto options = run_in(root / "run");
  options.training_users = catalog::random_users{.share = 0.5, .seed = 3};
  auto const whole = trained(options).progress;
  auto const all = trained(run_in(root / "all")).progress;
  CHECK(9 * whole.examples == 5 * all.examples);  // 3 of 6 users, and 2 of 3
  auto pieces = options;
  pieces.out = root / "pieces";
  pieces.resume = true;
  trained(pieces, stops_after(2));
  auto other = pieces;
  other.training_users = catalog::random_users{.share = 0.5, .seed = 4};
  CHECK(complaint<file_error>([&] { return trained(other); })
            .ends_with("belongs to a run with training_users = {\"share\":0.5,\"seed\":3}, but this one has "
                       "{\"share\":0.5,\"seed\":4}"));
  trained(pieces);
  CHECK(timeless_files(root / "pieces") == timeless_files(root / "run"));
  other.out = root / "first";
  other.training_users = catalog::first_users{3};
  CHECK(trained(other, {}, {walkers(6, 1)}).progress.examples * 2 ==
        trained(run_in(root / "six"), {}, {walkers(6, 1)}).progress.examples);
  other.training_users = catalog::first_users{0};
  CHECK(complaint<error>([&] { return trained(other); }) == "training users: the first 0, expected at least 1");
}

TEST_CASE("train: examples of other datasets are replayed, without part in the validation; such a run resumes") {
  temporary_directory const root;
  auto const replaying = [&](std::string const& name, double share, pipeline::run_observer const& observer = {}) {
    auto options = run_in(root / name);
    options.replay_share = share;
    options.resume = true;
    cpu::backend b;
    return pipeline::train_model(b, options, {{walkers(6, 1)}, vocab(), {walkers(3, 2)}}, observer).progress;
  };
  auto const alone = trained(run_in(root / "alone"), {}, {walkers(6, 1)}).progress;
  auto const whole = replaying("whole", 0.5);
  CHECK(2 * whole.examples == 3 * alone.examples);
  CHECK(timeless_files(root / "whole") != timeless_files(root / "alone"));
  CHECK(replaying("none", 0).examples == alone.examples);
  CHECK(timeless_files(root / "none") == timeless_files(root / "alone"));
  replaying("pieces", 0.5, stops_after(4));
  CHECK(complaint<file_error>([&] { return replaying("pieces", 0.25); })
            .ends_with("belongs to a run with replay = {\"share\":0.5,\"examples\":12}, but this one has "
                       "{\"share\":0.25,\"examples\":12}"));
  replaying("pieces", 0.5);
  CHECK(timeless_files(root / "pieces") == timeless_files(root / "whole"));
  cpu::backend b;
  auto model = seq2seq::read_model<float>(b, root / "whole");
  tasks::validation_set const valid(tasks::next_only(), {walkers(6, 1)}, vocab());
  CHECK(seq2seq::trainer<cpu::backend, float>(b, model, run_in(root / "x").training).mean_loss(valid) ==
        whole.best_loss);
}

TEST_CASE("train: inputs begin with the token of their dataset's domain, in training and in queries") {
  temporary_directory const root;
  language::vocabulary const with_domains(
      {.modalities = {{"a", {3, 3}}, {"A", {3, 3}}}, .prompts = language::paper_prompts + 2});
  auto named = [&](char const* name, index_t stride) {
    auto data = walkers(6, stride);
    data.name = name;
    return data;
  };
  auto const training = [&](pipeline::run_options const& options, std::vector<std::string> domains,
                            pipeline::run_observer const& observer = {}) {
    cpu::backend b;
    return pipeline::train_model(
        b, options,
        {.datasets = {named("Games", 1)}, .vocab = with_domains, .replayed = {named("Arts", 2)}, .domains = domains},
        observer);
  };
  auto options = run_in(root / "run");
  options.replay_share = 0.5;
  options.resume = true;
  training(options, {"Games", "Arts"}, stops_after(2));
  CHECK(complaint<file_error>([&] {
          return training(options, {"Arts", "Games"});
        }).ends_with("belongs to a run with domains = [\"Games\",\"Arts\"], but this one has [\"Arts\",\"Games\"]"));
  CHECK(complaint<error>([&] { return training(run_in(root / "other"), {"Games"}); }) ==
        "train_model: 'Arts' is none of the domains");
  training(options, {"Games", "Arts"});
  options.out = root / "whole";
  training(options, {"Games", "Arts"});
  CHECK(timeless_files(root / "run") == timeless_files(root / "whole"));
  auto const metadata = pipeline::read_model_metadata(root / "run");
  CHECK(metadata.domains == std::vector<std::string>{"Games", "Arts"});

  auto games = named("Games", 1);
  games.prefix = with_domains.prompt(18);
  tasks::batch written;
  tasks::training_set(tasks::all_tasks(), {games}, with_domains).write(0, 1, 0, written);
  tasks::validation_set(tasks::all_tasks(), {games}, with_domains).write(0, 1, 0, written);
  CHECK(with_domains.text(written.input(0)) == "<*_18><*_0><*_1><*_2><a_0><b_0></s>");
  CHECK(with_domains.text(written.input(1)).starts_with("<*_18><*_0><*_1><*_2>"));

  // evaluation and service write the same queries: their results are those of a task that writes the token itself
  cpu::backend b;
  auto const model = seq2seq::frozen_t5(b, seq2seq::read_model<float>(b, root / "run"));
  auto const ndcg = [&](tasks::model_tasks const& about) {
    return pipeline::evaluate(b, model, about, games, {.search = {.beams = 9}}).result.ensemble.sequence->ndcg(5);
  };
  struct with_token {
    tasks::any_query_task task;
    language::modality to;
    token_t token;
    void each_example(tasks::dataset const& data, catalog::split part, tasks::example_sink const& sink) const {
      task.each_example(data, part, sink);
    }
    void write_query(std::span<item_id const> history, tasks::query_context const& context, tasks::batch& out) const {
      out.add_input(token);
      task.write_query(history, context, out);
    }
  };
  auto by_hand = pipeline::tasks_of(metadata, "");
  for (auto& query : by_hand.tasks.queries) query = with_token{query, query.to(), with_domains.prompt(18)};
  CHECK(ndcg(pipeline::tasks_of(metadata, "Games")) == ndcg(by_hand));
  auto const scores = [&](tasks::model_tasks const& about) {
    return recommender<>(b, seq2seq::read_model<float>(b, root / "run"), about, games.tokens)
        .recommend(std::vector{item_id{3}}, 5)
        .scores;
  };
  CHECK(scores(pipeline::tasks_of(metadata, "Games")) == scores(by_hand));
  CHECK(scores(pipeline::tasks_of(metadata, "Games")) != scores(pipeline::tasks_of(metadata, "Arts")));
}

TEST_CASE("train: a run with layer-wise learning rates resumes to the same bits, and only with the same decay") {
  temporary_directory const root;
  for (auto const& hidden : {std::optional<optim::muon>(), std::optional(optim::muon())}) {
    std::string const name = hidden ? "muon" : "adamw";
    auto options = run_in(root / name);
    options.training.layer_decay = 0.7;
    options.training.hidden_optimizer = hidden;
    trained(options);
    auto pieces = options;
    pieces.out = root / (name + "-pieces");
    pieces.resume = true;
    trained(pieces, stops_after(4));
    auto other = pieces;
    other.training.layer_decay = 1;
    CHECK(complaint<file_error>([&] {
            return trained(other);
          }).ends_with("belongs to a run with layer_decay = 0.7, but this one has nothing"));
    trained(pieces);
    CHECK(timeless_files(pieces.out) == timeless_files(options.out));
    other.out = root / (name + "-plain");
    trained(other);
    CHECK(timeless_files(other.out) != timeless_files(options.out));
  }
}

TEST_CASE("train: a run with shorter epochs resumes to the same bits, and only with epochs as short") {
  temporary_directory const root;
  auto options = run_in(root / "whole");
  options.training.epoch_updates = 2;
  CHECK(trained(options).progress.step == 6);
  auto pieces = options;
  pieces.out = root / "pieces";
  pieces.resume = true;
  trained(pieces, stops_after(3));
  auto other = pieces;
  other.training.epoch_updates = 0;
  CHECK(complaint<file_error>([&] {
          return trained(other);
        }).ends_with("belongs to a run with epoch_updates = 2, but this one has nothing"));
  trained(pieces);
  CHECK(timeless_files(pieces.out) == timeless_files(options.out));
}

TEST_CASE("train: a run with gradient surgery between tasks or datasets resumes to the same bits") {
  temporary_directory const root;
  for (auto const surgery : {seq2seq::gradient_groups::tasks, seq2seq::gradient_groups::datasets}) {
    std::string const name = surgery == seq2seq::gradient_groups::tasks ? "tasks" : "datasets";
    auto options = run_in(root / name);
    options.tasks = "all";
    options.training.surgery = surgery;
    options.replay_share = 0.5;
    auto const training = [&](pipeline::run_options const& with, pipeline::run_observer const& observer = {}) {
      cpu::backend b(2);
      return pipeline::train_model(b, with, {{walkers(6, 1)}, vocab(), {walkers(3, 2)}}, observer).progress;
    };
    auto const whole = training(options);
    auto pieces = options;
    pieces.out = root / (name + "-pieces");
    pieces.resume = true;
    training(pieces, stops_after(7));
    auto other = pieces;
    other.training.surgery = seq2seq::gradient_groups::none;
    CHECK(complaint<file_error>([&] {
            return training(other);
          }).ends_with("belongs to a run with surgery = \"" + name + "\", but this one has nothing"));
    training(pieces);
    CHECK(timeless_files(pieces.out) == timeless_files(options.out));
    other.out = root / (name + "-plain");
    auto const plain = training(other);
    CHECK(timeless_files(other.out) != timeless_files(options.out));
    CHECK(plain.examples == whole.examples);
  }
}

TEST_CASE("train: modality dropout is part of the run and of the model's metadata, which decides its queries") {
  temporary_directory const root;
  auto options = run_in(root / "run");
  options.modality_dropout = 0.25;
  options.resume = true;
  trained(options, stops_after(1));
  CHECK(pipeline::read_model_metadata(root / "run").modality_dropout == 0.25);
  auto other = options;
  other.modality_dropout = 0.5;
  CHECK(complaint<file_error>([&] {
          return trained(other);
        }).ends_with("belongs to a run with modality_dropout = 0.25, but this one has 0.5"));
  other.modality_dropout = 0;
  CHECK(complaint<file_error>([&] {
          return trained(other);
        }).ends_with("belongs to a run with modality_dropout = 0.25, but this one has nothing"));
  CHECK(trained(options).status == train::run_status::finished);
  options.modality_dropout = 1.5;
  CHECK(complaint<error>([&] { return trained(options); }) == "modality_dropout is 1.5, expected 0 to 1");
  // a query writes an item that lacks the text in images
  language::token_table const text(language::modality::text, 2, 2);
  language::token_table images(language::modality::image, 2, 2);
  images.set(item_id{0}, std::vector{vocab().token(language::modality::image, 0, code_t{1}),
                                     vocab().token(language::modality::image, 1, code_t{2})});
  std::vector const tables = {text, images};
  tasks::batch query;
  pipeline::tasks_of(pipeline::read_model_metadata(root / "run"), "")
      .tasks.query(language::modality::text)
      .write_query(std::vector{item_id{0}}, {.tables = tables, .vocab = vocab()}, query);
  CHECK(vocab().text(query.input(0)) == "<*_0><*_1><*_2><A_1><B_2></s>");
}

TEST_CASE("train: an initial model that is missing or whose vocabulary is too small is a file_error") {
  temporary_directory const root;
  auto options = run_in(root / "run");
  options.init = root / "absent";
  CHECK_THROWS_AS(trained(options), file_error);
  cpu::backend b;
  seq2seq::write_model(root / "small", random_t5<float>(b, small_t5()));
  options.init = root / "small";
  CHECK(complaint<file_error>([&] { return trained(options); }) ==
        (root / "small").string() + ": the model knows 9 tokens, but the vocabulary has 32");
}

TEST_CASE("train: a run isn't resumed with a larger vocabulary than its model's") {
  temporary_directory const root;
  auto options = run_in(root / "run");
  trained(options, stops_after(1));
  options.resume = true;
  cpu::backend b;
  CHECK(complaint<file_error>([&] {
          return pipeline::train_model(b, options, {datasets(), language::vocabulary()});
        }) ==
        (root / "run/training.safetensors").string() + ": the model knows 32 tokens, but the vocabulary has 2068");
}

TEST_CASE("train: invalid input is refused before the directory is written") {
  temporary_directory const root;
  auto options = run_in(root / "run");
  options.tasks = "some";
  CHECK(complaint<error>([&] {
          return trained(options);
        }).starts_with("tasks 'some': expected all, next, released, released-next or a list of next-text"));
  options.tasks = "next";
  CHECK(complaint<error>([&] { return trained(options, {}, {}); }).ends_with("there are no examples to train on"));
  options.training.epochs = 0;
  CHECK_THROWS_AS(trained(options), error);
  CHECK(trained(run_in(root / "run")).status == train::run_status::finished);
  put(root / "file", "");
  CHECK_THROWS_AS(trained(run_in(root / "file")), file_error);
}

TEST_CASE("train: a run whose loss becomes infinite or NaN keeps the files of its last finite state") {
  temporary_directory const root;
  auto options = run_in(root / "run");
  options.training.learning_rate = 1e30;
  CHECK_THROWS_AS(trained(options), training_error);
  CHECK(safetensors(root / "run/training.safetensors").metadata().contains("progress"));
  options.resume = true;
  CHECK_THROWS_AS(trained(options), training_error);  // it was no accident
}

TEST_CASE("train: all task mixtures can be trained, and the observer is called for every update and epoch") {
  temporary_directory const root;
  for (std::string const tasks : {"all", "released"}) {
    auto options = run_in(root / tasks);
    options.tasks = tasks;
    std::int64_t steps = 0, epochs = 0;
    auto const progress =
        trained(options, {.on_step = [&](seq2seq::training_progress const& p, double loss,
                                         std::int64_t) { CHECK((p.step == ++steps && loss > 0)); },
                          .on_epoch = [&](seq2seq::training_progress const& p, bool) { CHECK(p.epoch == ++epochs); }})
            .progress;
    CHECK(progress.step == steps);
    CHECK(epochs == 3);
    CHECK(progress.examples == 3 * tasks::training_set(pipeline::mixture_named(tasks), datasets(), vocab()).size());
    CHECK(pipeline::read_model_metadata(root / tasks).tasks == tasks);
  }
}

TEST_CASE("train, then evaluate: an overfitted model retrieves its training data") {
  temporary_directory const root;
  auto options = run_in(root / "run");
  options.training.epochs = 60;
  options.training.dropout = 0;
  trained(options, {}, {walkers(9, 1)});
  cpu::backend b;
  pipeline::evaluation_options const on_training_part{.part = catalog::split::train, .search = {.beams = 9}};
  auto const found = pipeline::evaluate(b, seq2seq::frozen_t5(b, seq2seq::read_model<float>(b, root / "run")),
                                        pipeline::tasks_of(pipeline::read_model_metadata(root / "run"), ""),
                                        walkers(9, 1), on_training_part);
  CHECK(found.result.users == 9);
  CHECK(found.result.split == "train");
  CHECK(found.result.ensemble.sequence->hit(1) > 0.8);
}

namespace {
/// A run on several ranks, whose observers `observe` makes.
std::vector<pipeline::run_result> trained_on(
    index_t ranks, pipeline::run_options const& options,
    std::function<pipeline::run_observer(index_t)> const& observe = [](index_t) { return pipeline::run_observer{}; }) {
  std::vector<pipeline::run_result> results(to_size(ranks));
  // example-begin ranks
  train::run_on_threads(ranks, [&](train::host_communicator communicator) {
    auto const rank = communicator.rank();
    cpu::backend backend;  // one for each rank
    results[to_size(rank)] =
        pipeline::train_model(backend, options, {datasets(), vocab()}, observe(rank), communicator);
  });
  // example-end ranks
  return results;
}
pipeline::run_options sharded_run_in(std::filesystem::path const& out) {
  auto options = run_in(out);
  options.training.gradient_shards = 4;
  options.resume = true;
  return options;
}
/// Parameters and moments in a state file: all but the header, which contains times.
std::string numbers_of_state(std::filesystem::path const& run) {
  auto const all = read_file(run / "training.safetensors");
  std::uint64_t header = 0;
  std::memcpy(&header, all.data(), sizeof(header));
  return all.substr(sizeof(header) + header);
}
}  // namespace

TEST_CASE("train: any number of ranks writes the same files, once") {
  temporary_directory const root;
  trained(sharded_run_in(root / "1"));
  for (index_t ranks : {2, 3, 4}) {
    auto const out = root / std::to_string(ranks);
    for (auto const& result : trained_on(ranks, sharded_run_in(out))) {
      CHECK(result.status == train::run_status::finished);
      CHECK(result.progress.epoch == 3);
    }
    CHECK(timeless_files(out) == timeless_files(root / "1"));
    CHECK(numbers_of_state(out) == numbers_of_state(root / "1"));
  }
}

TEST_CASE("train: a run that four ranks began goes on with 1, 2 or 3, to the same bits; any rank can interrupt it") {
  temporary_directory const root;
  trained(sharded_run_in(root / "whole"));
  for (index_t ranks : {1, 2, 3}) {
    auto const out = root / std::to_string(ranks);
    auto first = sharded_run_in(out);
    first.training.sharded_moments = ranks > 1;
    auto const stopped = trained_on(4, first, [&](index_t rank) {
      return rank == ranks ? stops_after(static_cast<int>(1 + ranks)) : pipeline::run_observer{};
    });
    for (auto const& result : stopped) {
      CHECK(result.status == train::run_status::interrupted);
      CHECK(result.progress.step == 1 + ranks);
    }
    auto later = sharded_run_in(out);
    later.training.sharded_moments = ranks != 2;  // isn't a condition of the run
    CHECK(trained_on(ranks, later).front().status == train::run_status::finished);
    CHECK(timeless_files(out) == timeless_files(root / "whole"));
    CHECK(numbers_of_state(out) == numbers_of_state(root / "whole"));
  }
  auto other = sharded_run_in(root / "whole");
  other.training.gradient_shards = 8;
  CHECK(complaint<error>([&] {
          return trained_on(2, other);
        }).ends_with("belongs to a run with gradient_shards = 4, but this one has 8"));
}

TEST_CASE("train: ranks with other data or other options are named") {
  temporary_directory const root;
  auto const complaint_of = [&](auto const& change) {
    return complaint<error>([&] {
      train::run_on_threads(3, [&](train::host_communicator communicator) {
        cpu::backend b;
        auto options = sharded_run_in(root / "run");
        auto data = datasets();
        data[0].name = "First";
        if (communicator.rank() == 2) change(options, data);
        pipeline::train_model(b, options, {std::move(data), vocab()}, {}, communicator);
      });
      return 0;
    });
  };
  using options_type = pipeline::run_options;
  using data_type = std::vector<tasks::dataset>;
  CHECK(complaint_of([](options_type&, data_type& data) { data[0].interactions.items.own()[3] = item_id(8); }) ==
        "rank 2: the dataset First is not the same as on rank 0");
  CHECK(complaint_of([](options_type& options, data_type&) { options.training.learning_rate = 1; }) ==
        "rank 2: the set of options is not the same as on rank 0");
  CHECK(complaint_of([](options_type& options, data_type&) { options.training.epochs = 2; }) ==
        "rank 2: the set of options is not the same as on rank 0");
  CHECK_FALSE(std::filesystem::exists(root / "run/training.safetensors"));
}

TEST_CASE("train: a rank that throws ends the others, and what was saved goes on") {
  temporary_directory const root;
  trained(sharded_run_in(root / "whole"));
  auto const out = root / "run";
  auto const fails = [](index_t rank) {
    pipeline::run_observer observer;
    if (rank == 1) observer.on_step = [](auto const& p, double, std::int64_t) { expects(p.step < 2, "out of luck"); };
    return observer;
  };
  CHECK(complaint<error>([&] { return trained_on(3, sharded_run_in(out), fails); }) == "out of luck");
  CHECK(trained_on(2, sharded_run_in(out)).front().status == train::run_status::finished);
  CHECK(numbers_of_state(out) == numbers_of_state(root / "whole"));
}
