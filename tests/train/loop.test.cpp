#include "mql4grec/train/loop.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <vector>

using namespace mql4grec;

namespace {
struct toy_progress {
  std::int64_t epoch = 0, epoch_step = 0, step = 0, best_epoch = 0;
  double seconds = 0;
  bool finished = false;
  std::vector<double> history;
};

/// Writes down what the loop calls.
struct toy_learner {
  using progress_type = toy_progress;
  using losses_type = double;

  std::int64_t steps = 2, epochs = 3;
  std::string calls = {};
  std::int64_t fails_after_epoch = -1;

  std::int64_t steps_per_epoch() const { return steps; }
  bool is_finished(toy_progress const& p) const { return p.epoch >= epochs; }
  void begin_epoch(toy_progress const& p) { calls += "b" + std::to_string(p.epoch); }
  double step(toy_progress const& p) {
    calls += "s" + std::to_string(p.step);
    return 1. / static_cast<double>(p.step + 1);
  }
  bool end_epoch(toy_progress& p) {
    calls += "e" + std::to_string(p.epoch);
    bool const better = p.epoch % 2 == 1;
    if (better) p.best_epoch = p.epoch;
    return better;
  }
  void record_epoch(toy_progress& p) { p.history.push_back(p.seconds); }
  void check(toy_progress const& p) const {
    if (p.epoch == fails_after_epoch) throw std::runtime_error("in vain");
  }
};
static_assert(train::Learner<toy_learner>);

using toy_observer = train::observer_of<toy_learner>;
}  // namespace

TEST_CASE("training loop: each epoch is begun, ended and added to the history, and the observer is called after each") {
  toy_learner learner;
  toy_progress p;
  std::string seen;
  train::run_epochs(learner, p,
                    {.on_step =
                         [&](toy_progress const& now, double const& loss, std::int64_t steps) {
                           CHECK(steps == 2);
                           CHECK(loss == 1. / static_cast<double>(now.step));
                           seen += "s" + std::to_string(now.step);
                         },
                     .on_epoch = [&](toy_progress const& now,
                                     bool better) { seen += "e" + std::to_string(now.epoch) + (better ? "+" : ""); }});
  CHECK(learner.calls == "b0s0s1e1b1s2s3e2b2s4s5e3");
  CHECK(seen == "s1s2e1+s3s4e2s5s6e3+");
  CHECK((p.finished && p.epoch == 3 && p.step == 6 && p.epoch_step == 0 && p.best_epoch == 3));
  REQUIRE(p.history.size() == 3);
  CHECK((p.history[0] <= p.history[1] && p.history[1] <= p.history[2] && p.seconds >= p.history[2]));
}

TEST_CASE("training loop: a loop stopped before any step resumes there, and the epoch is begun again") {
  for (std::int64_t stop = 0; stop <= 6; ++stop) {
    CAPTURE(stop);
    toy_learner learner;
    toy_progress p;
    train::run_epochs(learner, p, {.should_stop = [&](toy_progress const& now) { return now.step == stop; }});
    CHECK(p.step == std::min<std::int64_t>(stop, 6));
    CHECK(p.finished == (stop == 6));
    p.seconds = 1000;
    learner.calls.clear();
    train::run_epochs(learner, p);
    CHECK((p.finished && p.step == 6 && p.epoch == 3 && p.history.size() == 3));
    if (stop < 6) {
      CHECK(p.seconds > 1000);
      CHECK(learner.calls.starts_with("b" + std::to_string(stop / 2) + "s" + std::to_string(stop)));
    } else {
      CHECK(learner.calls == "");
    }
  }
}

TEST_CASE("training loop: a finished run continues when the learner has more epochs") {
  toy_learner learner;
  toy_progress p;
  train::run_epochs(learner, p);
  learner.epochs = 4;
  train::run_epochs(learner, p);
  CHECK((p.finished && p.epoch == 4 && p.step == 8));
}

TEST_CASE("training loop: an exception of the learner after an epoch is rethrown after the observer was called") {
  toy_learner learner{.fails_after_epoch = 2};
  toy_progress p;
  std::int64_t seen = 0;
  CHECK_THROWS_AS(train::run_epochs(learner, p, {.on_epoch = [&](toy_progress const& now, bool) { seen = now.epoch; }}),
                  std::runtime_error);
  CHECK(seen == 2);
  learner.calls.clear();
  CHECK_THROWS_AS(train::run_epochs(learner, p), std::runtime_error);  // resumed
  CHECK(learner.calls == "");
}
