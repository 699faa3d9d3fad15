#pragma once
// Threads that wait for work. One task at a time is handed to all of them; the caller takes part as number 0.
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "mql4grec/core/scalar.hpp"

namespace mql4grec::cpu {

class team {
 public:
  explicit team(index_t size) {
    for (index_t number = 1; number < size; ++number) threads_.emplace_back([this, number] { serve(number); });
  }
  team(team const&) = delete;
  team& operator=(team const&) = delete;
  ~team() {
    {
      std::lock_guard const lock(mutex_);
      stopping_ = true;
    }
    start_.notify_all();
    for (auto& thread : threads_) thread.join();
  }

  index_t size() const { return static_cast<index_t>(threads_.size()) + 1; }

  /// task(number) on every member, side by side; returns when all have finished. The first exception is thrown again.
  void run(std::function<void(index_t)> const& task) {
    if (threads_.empty()) return task(0);
    {
      std::lock_guard const lock(mutex_);
      task_ = &task;
      busy_ = static_cast<index_t>(threads_.size());
      failure_ = nullptr;
      ++round_;
    }
    start_.notify_all();
    attempt(task, 0);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
    task_ = nullptr;
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void serve(index_t number) {
    std::uint64_t seen = 0;
    while (true) {
      std::function<void(index_t)> const* task = nullptr;
      {
        std::unique_lock lock(mutex_);
        start_.wait(lock, [&] { return stopping_ || round_ != seen; });
        if (stopping_) return;
        seen = round_;
        task = task_;
      }
      attempt(*task, number);
      {
        std::lock_guard const lock(mutex_);
        --busy_;
      }
      done_.notify_one();
    }
  }
  void attempt(std::function<void(index_t)> const& task, index_t number) {
    try {
      task(number);
    } catch (...) {
      std::lock_guard const lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
  }

  std::mutex mutex_;
  std::condition_variable start_, done_;
  std::function<void(index_t)> const* task_ = nullptr;
  index_t busy_ = 0;
  std::uint64_t round_ = 0;
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

}  // namespace mql4grec::cpu
