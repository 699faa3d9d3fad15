#pragma once
// The interface serving_model for any backend of the library.
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "compute/serving.hpp"
#include "compute/thread_pool.hpp"

namespace mql4grec::program {

/// Answers requests by a micro_batcher, whose callers are threads of a pool.
template <Backend B>
class serving_on final : public serving_model {
 public:
  serving_on(recommender<B> model, serve::batching_options const& options)
      : slot_(std::make_shared<recommender<B> const>(std::move(model))),
        batcher_(slot_, options),
        callers_(options.max_queued + options.workers * options.max_batch + free_callers) {}

  void recommend(std::shared_ptr<serving_request const> request, std::function<void(serving_outcome)> answer) override {
    callers_.post(
        [this, request = std::move(request), answer = std::move(answer), began = std::chrono::steady_clock::now()] {
          serving_outcome outcome;
          try {
            serving_answer found{.best = batcher_.recommend(request->history, request->options)};
            if (request->explain || request->trace) examine(*request, found, began);
            outcome = std::move(found);
          } catch (...) {
            outcome = std::current_exception();
          }
          answer(std::move(outcome));
        });
  }
  std::shared_ptr<search::live_catalog> catalog() const override { return slot_.get()->share_catalog(); }
  index_t waiting() const override { return batcher_.queued(); }

 private:
  // All other callers may wait for their answers; these find that there is no place left, and refuse.
  static constexpr index_t free_callers = 4;

  /// Adds explanations and the trace, unless the deadline has passed or the client has left. One request at a time:
  /// they are for people who look at an answer.
  void examine(serving_request const& request, serving_answer& found, std::chrono::steady_clock::time_point began) {
    auto const is_late = [&] {
      auto const& o = request.options;
      return o.stop.stop_requested() || (o.deadline && std::chrono::steady_clock::now() - began >= *o.deadline);
    };
    constexpr int most_examined = 4;
    if (is_late()) return;
    auto const others = examined_.fetch_add(1);
    auto const leave = std::shared_ptr<void>(nullptr, [this](void*) { --examined_; });
    if (others >= most_examined) raise<serve::overloaded>("recommend: ", others, " requests are examined already");
    std::lock_guard const lock(examining_);
    if (!examiner_) examiner_.emplace(slot_.get()->session());
    if (request.explain && !is_late()) found.why = examiner_->explain(request.history, found.best.items);
    if (request.trace && !is_late()) found.trace = examiner_->trace(request.history, request.options);
  }

  recommender_slot<recommender<B>> slot_;
  std::mutex examining_;
  std::atomic<int> examined_ = 0;
  std::optional<recommender_session<B, float>> examiner_;  // guarded by examining_
  serve::micro_batcher<recommender<B>> batcher_;
  thread_pool callers_;  // the last member: it ends before what it uses
};

}  // namespace mql4grec::program
