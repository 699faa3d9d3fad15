#pragma once
// Answers the requests of concurrent callers together: requests that arrive while others are searched wait, and are
// then searched as one batch, which takes less time than one after another. The number of waiting requests is bounded;
// more are refused at once. A caller never waits beyond its deadline, whatever the batch that its request is part of
// does.
//
//   caller   recommend() ─► queue ─► worker: one batch ─► best so far after each step ─► answer
//              └──────────── waits for the answer, the deadline or the stop token ◄────────┘
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/recommender.hpp"

namespace mql4grec::serve {

/// A request is refused because too many wait, or because the micro_batcher is being drained.
class overloaded : public error {
 public:
  using error::error;
};

/// Options of a micro_batcher.
struct batching_options {
  index_t workers = 1;      ///< threads that search, each with a session of its own
  index_t max_batch = 8;    ///< the largest number of requests that are searched together
  index_t max_queued = 64;  ///< the largest number of requests that wait for a worker
  /// How long the first request of a batch may wait for others although a worker is idle. 0: an idle worker begins at
  /// once, and batches consist of what has arrived during the previous search.
  std::chrono::microseconds max_wait{0};
};

/// Answers requests of any number of threads on some worker threads, in batches. Every batch is answered by the
/// recommender that the slot holds when it begins. R: the recommender. All members are thread-safe.
template <class R = recommender<>>
class micro_batcher {
 public:
  /// Starts the workers. The slot must outlive this object. Throws error for options out of range.
  explicit micro_batcher(recommender_slot<R> const& slot, batching_options const& options = {})
      : slot_(&slot), options_(options) {
    expects(options.workers >= 1, "micro_batcher: ", options.workers, " workers, expected at least 1");
    expects(options.max_batch >= 1, "micro_batcher: batches of ", options.max_batch, ", expected at least 1");
    expects(options.max_queued >= 1, "micro_batcher: a queue of ", options.max_queued, ", expected at least 1");
    expects(options.max_wait.count() >= 0, "micro_batcher: a wait of ", options.max_wait.count(),
            " us, expected at least 0");
    try {
      for (index_t i = 0; i < options.workers; ++i) threads_.emplace_back([this] { work(); });
    } catch (...) {
      drain();  // the threads that exist
      throw;
    }
  }
  micro_batcher(micro_batcher const&) = delete;
  micro_batcher& operator=(micro_batcher const&) = delete;
  /// Drains.
  ~micro_batcher() { drain(); }

  /// The answer of recommender::recommend, except for the rounding of matrix products, which depends on the other
  /// requests of the batch. The deadline counts from the beginning of the call and includes the wait; a request that is
  /// not answered by then returns with the best items so far, and one that is still queued is never searched: its
  /// answer has no lists. Throws overloaded at once if options().max_queued requests wait or after drain(), and what
  /// recommend() throws.
  [[nodiscard]] recommendation recommend(std::span<item_id const> history, recommend_options const& options = {}) {
    expects(options.k >= 0 && options.k <= search::max_beams, "recommend: k is ", options.k, ", expected 0 to ",
            search::max_beams);
    auto const mine = std::make_shared<request>(history, options);
    std::unique_lock lock(mutex_);
    if (draining_) raise<overloaded>("recommend: the service is shutting down");
    if (std::ssize(queue_) >= options_.max_queued)
      raise<overloaded>("recommend: ", queue_.size(), " requests are waiting already");
    if (!mine->wanted()) return std::move(mine->best);
    queue_.push_back(mine);
    ++callers_;
    arrived_.notify_one();
    auto const answered = [&] { return mine->answered; };
    if (mine->end == clock::time_point::max())
      mine->changed.wait(lock, options.stop, answered);
    else
      mine->changed.wait_until(lock, options.stop, mine->end, answered);
    if (!mine->answered) {
      mine->abandoned = true;
      std::erase(queue_, mine);
    }
    if (--callers_ == 0) left_.notify_all();
    if (mine->failure) std::rethrow_exception(mine->failure);
    return std::move(mine->best);
  }

  /// The options.
  [[nodiscard]] batching_options const& options() const { return options_; }
  /// The number of requests that wait for a worker.
  [[nodiscard]] index_t queued() const {
    std::lock_guard const lock(mutex_);
    return std::ssize(queue_);
  }

  /// Refuses further requests, answers those that were accepted, and returns when all callers have their answers.
  void drain() {
    std::unique_lock lock(mutex_);
    draining_ = true;
    arrived_.notify_all();
    left_.wait(lock, [&] { return callers_ == 0; });
    auto const threads = std::exchange(threads_, {});
    lock.unlock();  // the destructor of the threads waits for them
  }

 private:
  using clock = std::chrono::steady_clock;

  /// A request and its answer. The caller and the worker share it. What isn't constant is guarded by mutex_.
  struct request {
    request(std::span<item_id const> past, recommend_options const& wanted)
        : history(past.begin(), past.end()), options(wanted), end(recommender_detail::end_of(wanted)) {
      best.complete = false;
    }
    /// Whether its caller still waits.
    bool wanted() const { return !abandoned && clock::now() < end && !options.stop.stop_requested(); }

    std::vector<item_id> const history;
    recommend_options const options;
    clock::time_point const arrived = clock::now(), end;
    std::condition_variable_any changed = {};
    std::atomic<bool> abandoned = false;
    bool answered = false;
    recommendation best = {};  // the best so far, until it is the answer
    std::exception_ptr failure = {};
  };
  using batch = std::vector<std::shared_ptr<request>>;
  using session = decltype(std::declval<R const&>().session());

  /// A session, and the recommender that it is for.
  struct current_session {
    std::weak_ptr<R const> of;
    std::optional<session> opened;
  };

  void work() {
    current_session mine;
    for (auto some = next_batch(); !some.empty(); some = next_batch()) answer(mine, some);
  }

  /// The requests to search next; none when all have been answered and no more will come.
  batch next_batch() {
    std::unique_lock lock(mutex_);
    batch some;
    while (some.empty()) {
      arrived_.wait(lock, [&] { return !queue_.empty() || draining_; });
      if (queue_.empty()) return some;
      if (options_.max_wait.count() > 0)
        arrived_.wait_until(lock, queue_.front()->arrived + options_.max_wait,
                            [&] { return queue_.empty() || std::ssize(queue_) >= options_.max_batch || draining_; });
      for (; !queue_.empty() && std::ssize(some) < options_.max_batch; queue_.pop_front())
        some.push_back(std::move(queue_.front()));
    }
    if (!queue_.empty()) arrived_.notify_one();
    return some;
  }

  /// Answers a batch. If it fails, each of its requests is searched alone, so that only those fail whose search does.
  void answer(current_session& mine, batch const& some) {
    try {
      auto const current = slot_->get();
      if (mine.of.owner_before(current) || current.owner_before(mine.of)) {
        mine = {};  // before the next one is opened: a device's memory may not hold both
        mine = {.of = current, .opened = current->session()};
      }
      auto const begun = clock::now();
      auto answers = mine.opened->recommend_batch(requests_of(some), watch_of(some));
      for (std::size_t i = 0; i < some.size(); ++i)
        finish(*some[i], [&](request& each) {
          each.best = std::move(answers[i]);
          each.best.times.queue = begun - each.arrived;
        });
    } catch (...) {
      mine = {};
      if (some.size() == 1)
        finish(*some.front(), [&](request& each) { each.failure = std::current_exception(); });
      else
        for (auto const& each : some) answer(mine, {each});
    }
  }

  static std::vector<recommend_request> requests_of(batch const& some) {
    std::vector<recommend_request> all;
    for (auto const& each : some) all.push_back({.history = each->history, .options = each->options});
    return all;
  }

  /// Follows the requests of a batch if any of them may end early.
  request_watch watch_of(batch const& some) {
    if (std::ranges::none_of(some, [](auto const& each) { return recommender_detail::has_limit(each->options); }))
      return {};
    return {.wanted = [&some](std::size_t i) { return some[i]->wanted(); },
            .so_far =
                [&some, this](std::size_t i, recommendation best) {
                  if (!recommender_detail::has_limit(some[i]->options)) return;
                  std::lock_guard const lock(mutex_);
                  if (!some[i]->abandoned) some[i]->best = std::move(best);
                }};
  }

  /// Hands a request back to its caller after set(request), unless the caller has left.
  template <class Set>
  void finish(request& one, Set const& set) {
    std::lock_guard const lock(mutex_);
    if (one.abandoned || one.answered) return;
    set(one);
    one.answered = true;
    one.changed.notify_one();
  }

  recommender_slot<R> const* slot_;
  batching_options options_;
  mutable std::mutex mutex_;
  std::condition_variable arrived_, left_;  // a request; the last caller
  std::deque<std::shared_ptr<request>> queue_;
  index_t callers_ = 0;
  bool draining_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace mql4grec::serve
