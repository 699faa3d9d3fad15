#pragma once
#include "mql4grec/backend/cpu/team.hpp"
#include "mql4grec/core/macros.hpp"

namespace mql4grec::cpu {

MQL4GREC_DEFINITION team::team(index_t size) {
  for (index_t number = 1; number < size; ++number) threads_.emplace_back([this, number] { serve(number); });
}

MQL4GREC_DEFINITION team::~team() {
  {
    std::lock_guard const lock(mutex_);
    stopping_ = true;
  }
  start_.notify_all();
  for (auto& thread : threads_) thread.join();
}

MQL4GREC_DEFINITION void team::run(std::function<void(index_t)> const& task) {
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

MQL4GREC_DEFINITION void team::serve(index_t number) {
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

MQL4GREC_DEFINITION void team::attempt(std::function<void(index_t)> const& task, index_t number) {
  try {
    task(number);
  } catch (...) {
    std::lock_guard const lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
}

}  // namespace mql4grec::cpu
