#pragma once
// Threads that wait for work. One task at a time is handed to all of them; the caller takes part as number 0.
#include <functional>
#include <memory>

#include "mql4grec/core/scalar.hpp"

namespace mql4grec::cpu {

class thread_pool {
 public:
  /// `size` ≥ 1 threads, the caller's among them.
  explicit thread_pool(index_t size);
  thread_pool(thread_pool const&) = delete;
  thread_pool& operator=(thread_pool const&) = delete;
  ~thread_pool();

  index_t size() const;

  /// Runs task(number) on every thread at once, number = 0 … size − 1, and returns when all have finished. Rethrows the
  /// first exception.
  void run(std::function<void(index_t)> const& task);

 private:
  class threads;  // apart, since <thread> and its relatives take long to compile
  std::unique_ptr<threads> threads_;
};

}  // namespace mql4grec::cpu

#if !MQL4GREC_COMPILED
#include "mql4grec/backend/cpu/runtime/thread_pool.inl.hpp"
#endif
