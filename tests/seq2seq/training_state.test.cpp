#include "mql4grec/seq2seq/training_state.hpp"

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>

#include "core/temporary_directory.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/seq2seq/learner.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
/// Examples that differ from epoch to epoch.
struct examples {
  index_t count = 13;
  index_t size() const { return count; }
  void write(index_t i, std::uint64_t, std::uint64_t epoch, tasks::batch& out) const {
    auto const word = token_t(2 + i % 7);
    out.append(std::vector(1 + (static_cast<std::size_t>(i) + epoch) % 3, word), std::vector{word, word});
  }
};

seq2seq::training_options quick() {
  return {.epochs = 4,
          .batch_size = 5,
          .learning_rate = 1e-2,
          .dropout = 0.2,
          .patience = 0,
          .seed = 9,
          .block_tokens = 10};
}

struct run {
  cpu::backend backend;
  seq2seq::t5<cpu::backend, float> model;
  seq2seq::training_options options;
  seq2seq::trainer<cpu::backend, float> model_trainer{backend, model, options};
  seq2seq::training_progress progress = {};
  json conditions = seq2seq::run_conditions(options, tiny_t5(), 13);

  explicit run(seq2seq::training_options o = quick(), index_t threads = 1, std::uint64_t seed = 7)
      : backend(threads), model(random_t5<float>(backend, tiny_t5(), seed)), options(o) {}
  run(run const&) = delete;

  void train_until(std::int64_t step) {
    seq2seq::fit(model_trainer, examples{}, examples{4}, progress,
                 {.should_stop = [&](seq2seq::training_progress const& p) { return p.step >= step; }});
  }
  void train_to_the_end() { train_until(1000); }
  void save(std::filesystem::path const& path) const {
    train::write_state(path, model_trainer, progress, {std::make_shared<json const>(conditions)});
  }
  void restore(std::filesystem::path const& path) {
    progress = train::read_state<seq2seq::training_progress>(path, model_trainer, conditions);
  }

  std::vector<float> parameters() const {
    return {model.parameters().data, model.parameters().data + model.parameters().size()};
  }
  std::vector<float> moments() const {
    auto const first = as_span(model_trainer.moments().first.view_all()),
               second = as_span(model_trainer.moments().second.view_all());
    std::vector<float> all(first.begin(), first.end());
    all.insert(all.end(), second.begin(), second.end());
    return all;
  }
};

/// All of the progress but the clock.
seq2seq::training_progress timeless(seq2seq::training_progress p) {
  p.seconds = 0;
  for (auto& epoch : p.history) epoch.seconds = 0;
  return p;
}

std::string error_message_of_reading(std::filesystem::path const& path) {
  run reader;
  return complaint<file_error>([&] { return reader.restore(path); });
}

using metadata = std::map<std::string, std::string>;
/// A file with the tensors and the metadata of a good state, after `change`.
template <class Change>
void write_changed(std::filesystem::path const& path, Change&& change) {
  run good;
  auto const size = static_cast<std::size_t>(good.model.layout().size());
  std::vector<float> values(size);
  std::vector<index_t> shape = {std::ssize(values)};
  metadata meta = {{"format", "mql4grec training state"},
                   {"progress", json(good.progress).dump()},
                   {"conditions", good.conditions.dump()},
                   {"optimizer_step", "0"}};
  std::vector<std::string> names = {"parameters", "first_moment", "second_moment"};
  change(meta, shape, names);
  std::vector<named_tensor> tensors;
  index_t entries = 1;
  for (auto const extent : shape) entries *= extent;
  for (auto const& name : names)
    tensors.push_back({name, shape, host_vector_view<float const>(values.data(), entries)});
  write_safetensors(path, tensors, meta);
}
}  // namespace

TEST_CASE("training state: a run that was saved and restored gives the same bits as an uninterrupted one") {
  temporary_directory const directory;
  auto const path = directory / "training.safetensors";
  run uninterrupted;
  uninterrupted.train_to_the_end();
  REQUIRE(uninterrupted.progress.step == 12);
  for (std::int64_t stop : {0, 1, 3, 4, 11, 12}) {  // 3 steps an epoch
    CAPTURE(stop);
    run first;
    first.train_until(stop);
    first.save(path);
    run second(quick(), 1, 8);  // begins elsewhere
    second.restore(path);
    CHECK(second.progress == first.progress);
    CHECK(second.parameters() == first.parameters());
    CHECK(second.moments() == first.moments());
    second.train_to_the_end();
    CHECK(second.parameters() == uninterrupted.parameters());
    CHECK(second.moments() == uninterrupted.moments());
    CHECK(second.model_trainer.moments().step == 12);
    CHECK(timeless(second.progress) == timeless(uninterrupted.progress));
  }
}

TEST_CASE("training state: time is accumulated over resumed runs") {
  temporary_directory const directory;
  run first;
  first.train_until(3);
  first.progress.seconds = 1000;
  first.save(directory / "state");
  run second;
  second.restore(directory / "state");
  second.train_to_the_end();
  CHECK(second.progress.seconds > 1000);
  CHECK(second.progress.history.back().seconds > 1000);
}

TEST_CASE("training state: a run may be resumed with another number of workers, which changes only the order of sums") {
  temporary_directory const directory;
  run first, second(quick(), 3);
  first.train_until(4);
  first.save(directory / "state");
  second.restore(directory / "state");
  first.train_until(6);
  second.train_until(6);
  CHECK_CLOSE(second.parameters(), first.parameters(), 1e-4);
}

TEST_CASE("training state: progress is preserved as JSON, including infinity and history") {
  seq2seq::training_progress p;
  CHECK(json(p).get<seq2seq::training_progress>() == p);
  p = {.epoch = 3,
       .epoch_step = 1,
       .step = 10,
       .examples = 44,
       .epoch_loss = 0.1 + 0.2,
       .epoch_tokens = 15,
       .best_loss = 1. / 3,
       .best_epoch = 2,
       .seconds = 0.7,
       .finished = true,
       .history = {{1. / 7, 2. / 7, 5e-4, 0.1}, {1e-300, 3, 0, 0.2}}};
  CHECK(parse_json(json(p).dump(), "text").get<seq2seq::training_progress>() == p);
}

TEST_CASE("training state: the state of another run is refused; the message contains the condition and both values") {
  temporary_directory const directory;
  auto const path = directory / "state";
  run().save(path);
  auto const refusal = [&](auto change) {
    auto options = quick();
    change(options);
    run other(options);
    return complaint<file_error>([&] { return other.restore(path); });
  };
  CHECK(refusal([](auto&) {}) == "");
  CHECK(refusal([](auto& o) { o.block_tokens = 5; }) == "");  // a matter of caches
  CHECK(refusal([](auto& o) { o.seed = 10; }) ==
        path.string() + ": belongs to a run with seed = 9, but this one has 10");
  std::map<std::string, std::string> const by_name = {
      {"epochs", refusal([](auto& o) { o.epochs = 5; })},
      {"batch_size", refusal([](auto& o) { o.batch_size = 6; })},
      {"learning_rate", refusal([](auto& o) { o.learning_rate = 0.02; })},
      {"curve", refusal([](auto& o) { o.curve = seq2seq::learning_curve::constant; })},
      {"warmup", refusal([](auto& o) { o.warmup = 0.5; })},
      {"weight_decay", refusal([](auto& o) { o.optimizer.weight_decay = 0.5; })},
      {"clip_norm", refusal([](auto& o) { o.optimizer.clip_norm = 0.5; })},
      {"dropout", refusal([](auto& o) { o.dropout = 0.5; })},
      {"patience", refusal([](auto& o) { o.patience = 5; })}};
  for (auto const& refused : by_name) {
    CAPTURE(refused.second);
    CHECK(refused.second.find("belongs to a run with " + refused.first + " = ") != std::string::npos);
  }
  run reader;
  reader.conditions = seq2seq::run_conditions(quick(), tiny_t5(), 14);
  CHECK(complaint<file_error>([&] { return reader.restore(path); }).find("examples = 13, but this one has 14") !=
        std::string::npos);
  auto larger = tiny_t5();
  larger.inner_width += 1;
  reader.conditions = seq2seq::run_conditions(quick(), larger, 13);
  CHECK(complaint<file_error>([&] { return reader.restore(path); }).find("with parameters = ") != std::string::npos);
}

TEST_CASE("training state: a damaged file is a file_error that begins with its path") {
  temporary_directory const directory;
  auto const path = directory / "state";
  CHECK(error_message_of_reading(path).starts_with(path.string()));  // there is none
  run trained;
  trained.train_until(4);
  trained.save(path);
  CHECK(error_message_of_reading(path) == "");
  auto const whole = read_file(path);
  for (std::size_t length :
       {std::size_t{0}, std::size_t{1}, std::size_t{8}, std::size_t{100}, whole.size() / 2, whole.size() - 1}) {
    CAPTURE(length);
    put(path, std::string_view(whole).substr(0, length));
    CHECK(error_message_of_reading(path).starts_with(path.string()));
  }
  put(path, whole + "x");
  CHECK(error_message_of_reading(path).starts_with(path.string()));
  put(path, "{\"progress\": 1}");
  CHECK(error_message_of_reading(path).starts_with(path.string()));
}

TEST_CASE("training state: another safetensors file is refused with an explanation") {
  temporary_directory const directory;
  auto const path = directory / "state";
  auto const message_after = [&](auto change) {
    write_changed(path, change);
    auto const message = error_message_of_reading(path);
    CHECK((message.empty() || message.starts_with(path.string())));
    return message;
  };
  auto const check_message = [](std::string const& message, std::string_view part) {
    CAPTURE(message);
    CHECK(message.find(part) != message.npos);
  };
  CHECK(message_after([](metadata&, auto&, auto&) {}) == "");
  check_message(message_after([](metadata& meta, auto&, auto&) { meta.clear(); }), "expected a training state");
  for (std::string const key : {"progress", "conditions", "optimizer_step"}) {
    check_message(message_after([&](metadata& meta, auto&, auto&) { meta.erase(key); }),
                  "metadata '" + key + "' is missing");
    check_message(message_after([&](metadata& meta, auto&, auto&) { meta[key] = "?"; }),
                  key == "optimizer_step" ? "expected a number" : "not valid JSON");
  }
  for (char const* other : {"[]", "7", "null"})
    check_message(message_after([&](metadata& meta, auto&, auto&) { meta["conditions"] = other; }),
                  "examples = nothing");
  for (char const* other : {"{}", "[]", "7"})
    check_message(message_after([&](metadata& meta, auto&, auto&) { meta["progress"] = other; }),
                  "metadata 'progress'");
  seq2seq::training_progress backwards;
  backwards.epoch_step = -1;
  check_message(message_after([&](metadata& meta, auto&, auto&) { meta["progress"] = json(backwards).dump(); }),
                "expected at least 0");
  check_message(message_after([](metadata&, auto& shape, auto&) { shape[0] -= 1; }), "shape");
  check_message(message_after([](metadata&, auto& shape, auto&) { shape = {1, shape[0]}; }), "shape");
  check_message(message_after([](metadata&, auto&, auto& names) { names.pop_back(); }), "second_moment");
}
