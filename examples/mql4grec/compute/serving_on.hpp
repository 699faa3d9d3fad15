#pragma once
// The interface serving_model for any backend of the library.
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "compute/serving.hpp"
#include "compute/thread_pool.hpp"

namespace mql4grec::program {

/// Answers requests by a micro_batcher. No thread waits for an answer.
template <Backend B>
class serving_on final : public serving_model {
 public:
  serving_on(recommender<B> model, serve::batching_options const& options)
      : slot_(std::make_shared<recommender<B> const>(std::move(model))), batcher_(slot_, options) {}

  void recommend(std::shared_ptr<serving_request const> request, std::function<void(serving_outcome)> answer) override {
    auto const began = std::chrono::steady_clock::now();
    auto const place = request->explain || request->trace ? place_for_examination() : nullptr;
    batcher_.submit(request->history, request->options,
                    [this, request, answer, began, place](serve::submitted_outcome outcome) {
                      if (auto const* fault = std::get_if<std::exception_ptr>(&outcome)) return answer(*fault);
                      serving_answer found{.best = std::get<recommendation>(std::move(outcome))};
                      if (!place) return answer(std::move(found));
                      examinations_.post([this, request, answer, began, place, found = std::move(found)] {
                        answer(examined(*request, found, began));
                      });
                    });
  }
  std::shared_ptr<search::live_catalog> catalog() const override { return slot_.get()->share_catalog(); }
  index_t waiting() const override { return batcher_.queued(); }

 private:
  /// Is given back when it is destroyed. Throws serve::overloaded if there is none.
  std::shared_ptr<void> place_for_examination() {
    constexpr int most_examined = 5;
    auto const others = examined_.fetch_add(1);
    std::shared_ptr<void> place(this, [this](void*) { --examined_; });
    if (others >= most_examined) raise<serve::overloaded>("recommend: ", others, " requests are examined already");
    return place;
  }

  /// The answer with explanations and the trace, as far as they come before the deadline, and before the client leaves.
  serving_outcome examined(serving_request const& request, serving_answer found,
                           std::chrono::steady_clock::time_point began) {
    // of what is left of the time
    auto left = request.options;
    auto const is_late = [&] {
      if (auto const& whole = request.options.deadline)
        left.deadline = *whole - (std::chrono::steady_clock::now() - began);
      return left.stop.stop_requested() || (left.deadline && left.deadline->count() <= 0);
    };
    try {
      if (is_late()) return found;
      if (!examiner_) examiner_.emplace(slot_.get()->session());
      if (request.explain && !is_late())
        found.why = examiner_->explain(request.history, found.best.items, {left.deadline, left.stop});
      if (request.trace && !is_late()) found.trace = examiner_->trace(request.history, left);
      return found;
    } catch (...) {
      return std::current_exception();
    }
  }

  recommender_slot<recommender<B>> slot_;
  std::atomic<int> examined_ = 0;
  std::optional<recommender_session<B, float>> examiner_;  // used by the thread of examinations_
  thread_pool examinations_{1};                   // of one request at a time: they are for people who look at an answer
  serve::micro_batcher<recommender<B>> batcher_;  // the last member: its callbacks use what is above
};

}  // namespace mql4grec::program
