#pragma once
// The interface serving_model for any backend of the library.
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

  void recommend(serving_request request, std::function<void(serving_outcome)> answer) override {
    callers_.post([this, request = std::move(request), answer = std::move(answer)] {
      serving_outcome outcome;
      try {
        outcome = batcher_.recommend(request.history, request.options);
      } catch (...) {
        outcome = std::current_exception();
      }
      answer(std::move(outcome));
    });
  }
  index_t waiting() const override { return batcher_.queued(); }

 private:
  // All other callers may wait for their answers; these find that there is no place left, and refuse.
  static constexpr index_t free_callers = 4;

  recommender_slot<recommender<B>> slot_;
  serve::micro_batcher<recommender<B>> batcher_;
  thread_pool callers_;  // the last member: it ends before what it uses
};

}  // namespace mql4grec::program
