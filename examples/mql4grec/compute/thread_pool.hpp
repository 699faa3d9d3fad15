#pragma once
// Threads for work that must not block the caller.
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "mql4grec/core/scalar.hpp"

namespace mql4grec::program {

/// Threads that run functions, in the order in which they are posted. The destructor runs those that are left.
class thread_pool {
 public:
  /// Throws std::system_error if a thread can't be started.
  explicit thread_pool(index_t threads) {
    try {
      for (index_t i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
    } catch (...) {
      end();
      throw;
    }
  }
  ~thread_pool() { end(); }
  thread_pool(thread_pool const&) = delete;
  thread_pool& operator=(thread_pool const&) = delete;

  /// Thread-safe. `work` must not throw.
  void post(std::function<void()> work) {
    {
      std::lock_guard const lock(mutex_);
      work_.push_back(std::move(work));
    }
    changed_.notify_one();
  }

 private:
  void end() {
    {
      std::lock_guard const lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    threads_.clear();  // waits for them
  }

  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return ending_ || !work_.empty(); });
      if (work_.empty()) return;
      auto next = std::move(work_.front());
      work_.pop_front();
      lock.unlock();
      next();
      next = nullptr;  // what it owns is destroyed without the lock
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;
  bool ending_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace mql4grec::program
