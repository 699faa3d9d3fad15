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
  explicit team(index_t size);
  team(team const&) = delete;
  team& operator=(team const&) = delete;
  ~team();

  index_t size() const { return static_cast<index_t>(threads_.size()) + 1; }

  /// task(number) on every member, side by side; returns when all have finished. The first exception is thrown again.
  void run(std::function<void(index_t)> const& task);

 private:
  void serve(index_t number);
  void attempt(std::function<void(index_t)> const& task, index_t number);

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

#if !MQL4GREC_COMPILED
#include "mql4grec/backend/cpu/team.inl.hpp"
#endif
