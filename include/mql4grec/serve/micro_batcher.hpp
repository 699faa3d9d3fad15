#pragma once
// Answers the requests of concurrent callers together: requests that arrive while others are searched wait, and are
// then searched as one batch, which takes less time than one after another. The number of waiting requests is bounded;
// more are refused at once. A caller never waits beyond its deadline, whatever the batch that its request is part of
// does.
//
//   caller   recommend() ─► queue ─► worker: one batch ─► best so far after each step ─► answer
//              └──────────── waits for the answer, the deadline or the stop token ◄────────┘
//
// submit() does the same without a thread that waits: the worker calls back with the answer, or, at the deadline, one
// thread that watches the deadlines of all submitted requests.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <variant>
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

/// What became of a request that was submitted: its answer, or the exception of its search.
using submitted_outcome = std::variant<recommendation, std::exception_ptr>;

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
      threads_.emplace_back([this] { watch_deadlines(); });
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
    auto const mine = std::make_shared<request>(history, options, nullptr);
    std::unique_lock lock(mutex_);
    check_admission(*mine);
    if (!mine->wanted()) return std::move(mine->best);
    enqueue(mine);
    auto const answered = [&] { return mine->answered; };
    if (mine->end == clock::time_point::max())
      mine->changed.wait(lock, options.stop, answered);
    else
      mine->changed.wait_until(lock, options.stop, mine->end, answered);
    if (!mine->answered) {
      mine->abandoned = true;
      std::erase(queue_, mine);
    }
    leave();
    if (mine->failure) std::rethrow_exception(mine->failure);
    return std::move(mine->best);
  }

  /// As recommend(), but returns at once: `done` is called once, later, on a thread of this object, which does nothing
  /// else meanwhile. It must not throw, and must not call drain(). A request whose stop token is used leaves the queue
  /// when a worker comes to it. Throws overloaded, and error for a k out of range; `done` isn't called then.
  void submit(std::span<item_id const> history, recommend_options const& options,
              std::function<void(submitted_outcome)> done) {
    auto const mine = std::make_shared<request>(history, options, std::move(done));
    std::lock_guard const lock(mutex_);
    check_admission(*mine);
    enqueue(mine);
    if (!mine->is_watched()) return;
    mine->deadline = deadlines_.emplace(mine->end, mine);
    if (mine->deadline == deadlines_.begin()) deadline_changed_.notify_one();
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
    drained_ = true;
    deadline_changed_.notify_all();
    auto const threads = std::exchange(threads_, {});
    lock.unlock();  // the destructor of the threads waits for them
  }

 private:
  using clock = std::chrono::steady_clock;

  /// A request and its answer. The caller and the worker share it. What isn't constant is guarded by mutex_.
  struct request {
    request(std::span<item_id const> past, recommend_options const& wanted, std::function<void(submitted_outcome)> call)
        : history(past.begin(), past.end()),
          options(wanted),
          end(recommender_detail::end_of(wanted)),
          done(std::move(call)) {
      best.complete = false;
    }
    /// Whether watch_deadlines() answers it if a worker doesn't.
    bool is_watched() const { return done && end != clock::time_point::max(); }
    /// Whether its caller still waits.
    bool wanted() const { return !abandoned && clock::now() < end && !options.stop.stop_requested(); }

    std::vector<item_id> const history;
    recommend_options const options;
    clock::time_point const arrived = clock::now(), end;
    std::function<void(submitted_outcome)> const done;  // none: a caller waits
    std::condition_variable_any changed = {};
    typename std::multimap<clock::time_point, std::shared_ptr<request>>::iterator deadline = {};  // if it is watched
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

  /// Throws unless a request can be accepted; with the lock.
  void check_admission(request const& one) const {
    expects(one.options.k >= 0 && one.options.k <= search::max_beams, "recommend: k is ", one.options.k,
            ", expected 0 to ", search::max_beams);
    if (draining_) raise<overloaded>("recommend: the service is shutting down");
    if (std::ssize(queue_) >= options_.max_queued)
      raise<overloaded>("recommend: ", queue_.size(), " requests are waiting already");
  }

  /// With the lock.
  void enqueue(std::shared_ptr<request> const& one) {
    queue_.push_back(one);
    ++callers_;
    arrived_.notify_one();
  }

  /// One more request has its answer; with the lock.
  void leave() {
    if (--callers_ == 0) left_.notify_all();
  }

  /// Answers submitted requests at their deadlines, until all have been answered and no more will come.
  void watch_deadlines() {
    std::unique_lock lock(mutex_);
    while (!drained_) {
      if (deadlines_.empty()) {
        deadline_changed_.wait(lock);
        continue;
      }
      if (auto const end = deadlines_.begin()->first; clock::now() < end) {
        deadline_changed_.wait_until(lock, end);
        continue;
      }
      {  // Not before the wait: a request that is answered meanwhile would live on, with all that its callback owns.
        auto const one = deadlines_.begin()->second;
        deadlines_.erase(one->deadline);
        one->abandoned = one->answered = true;
        std::erase(queue_, one);
        lock.unlock();
        one->done(std::move(one->best));
      }  // without the lock: destructors of what the callback owns may call members
      lock.lock();
      leave();
    }
  }

  void work() {
    current_session mine;
    for (;;) {
      auto const some = next_batch();  // released before the wait for the next one: callbacks own what they need
      if (some.empty()) return;
      answer(mine, some);
    }
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
    } catch (device_error const&) {
      mine = {};
      answer_each(mine, some);
    } catch (error const&) {  // a request that is refused leaves the session as it was
      answer_each(mine, some);
    } catch (...) {
      mine = {};
      answer_each(mine, some);
    }
  }
  /// While the exception of a batch is handled.
  void answer_each(current_session& mine, batch const& some) {
    if (some.size() == 1)
      finish(*some.front(), [&](request& each) { each.failure = std::current_exception(); });
    else
      for (auto const& each : some) answer(mine, {each});
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
    request_watch watch{.wanted = [&some](std::size_t i) { return some[i]->wanted(); }};
    // Ranking what has been found after each step takes time, so it is done only if someone may want it.
    auto const wants_best = [](request const& one) {
      return one.done ? one.is_watched() : recommender_detail::has_limit(one.options);
    };
    if (std::ranges::any_of(some, [&](auto const& each) { return wants_best(*each); }))
      watch.so_far = [&some, this, wants_best](std::size_t i, recommendation best) {
        if (!wants_best(*some[i])) return;
        std::lock_guard const lock(mutex_);
        if (!some[i]->abandoned) some[i]->best = std::move(best);
      };
    return watch;
  }

  /// Hands a request back to its caller after set(request), unless the caller has left.
  template <class Set>
  void finish(request& one, Set const& set) {
    {
      std::lock_guard const lock(mutex_);
      if (one.abandoned || one.answered) return;
      set(one);
      one.answered = true;
      if (one.is_watched()) deadlines_.erase(one.deadline);
      if (!one.done) return one.changed.notify_one();
    }
    if (one.failure)
      one.done(one.failure);
    else
      one.done(std::move(one.best));
    std::lock_guard const lock(mutex_);
    leave();
  }

  recommender_slot<R> const* slot_;
  batching_options options_;
  mutable std::mutex mutex_;
  std::condition_variable arrived_, left_, deadline_changed_;  // a request; the last caller; the first deadline
  std::deque<std::shared_ptr<request>> queue_;
  std::multimap<clock::time_point, std::shared_ptr<request>> deadlines_;  // of submitted requests
  index_t callers_ = 0;                                                   // whose requests have no answer yet
  bool draining_ = false, drained_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace mql4grec::serve
