#pragma once
// The definitions of thread_pool.hpp.
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "mql4grec/backend/cpu/runtime/thread_pool.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/macros.hpp"

namespace mql4grec::cpu {

class thread_pool::threads {
 public:
  explicit threads(index_t size) {
    try {
      for (index_t number = 1; number < size; ++number) threads_.emplace_back([this, number] { serve(number); });
    } catch (std::exception const& failure) {  // the destructor doesn't run, and those of joinable threads terminate
      index_t const started = this->size();
      stop();
      raise("a pool of ", size, " threads: only ", started, " could be started: ", failure.what());
    }
  }
  threads(threads const&) = delete;
  threads& operator=(threads const&) = delete;
  ~threads() { stop(); }

  index_t size() const { return static_cast<index_t>(threads_.size()) + 1; }

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
  void stop() {
    {
      std::lock_guard const lock(mutex_);
      stopping_ = true;
    }
    start_.notify_all();
    for (auto& thread : threads_) thread.join();
  }
  void serve(index_t number) {
    std::uint64_t last_round = 0;
    while (true) {
      std::function<void(index_t)> const* task = nullptr;
      {
        std::unique_lock lock(mutex_);
        start_.wait(lock, [&] { return stopping_ || round_ != last_round; });
        if (stopping_) return;
        last_round = round_;
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

MQL4GREC_DEFINITION thread_pool::thread_pool(index_t size) : threads_(std::make_unique<threads>(size)) {}
MQL4GREC_DEFINITION thread_pool::~thread_pool() = default;
MQL4GREC_DEFINITION index_t thread_pool::size() const { return threads_->size(); }
MQL4GREC_DEFINITION void thread_pool::run(std::function<void(index_t)> const& task) { threads_->run(task); }

}  // namespace mql4grec::cpu
