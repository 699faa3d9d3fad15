#pragma once
// A pool of threads that run one task together. The calling thread participates as number 0.
#include <functional>
#include <memory>

#include "mql4grec/core/scalar.hpp"

namespace mql4grec::cpu {

/// A fixed number of threads. run() is called by one thread at a time.
class thread_pool {
 public:
  /// `size` ≥ 1 threads, including the caller's.
  explicit thread_pool(index_t size);
  thread_pool(thread_pool const&) = delete;
  thread_pool& operator=(thread_pool const&) = delete;
  ~thread_pool();

  /// The number of threads, including the caller's.
  index_t size() const;

  /// Runs task(number) on all threads in parallel, number = 0 … size − 1, and returns when all have finished. Rethrows
  /// the first exception.
  void run(std::function<void(index_t)> const& task);

 private:
  class threads;  // declared only, since <thread> and similar headers are slow to compile
  std::unique_ptr<threads> threads_;
};

}  // namespace mql4grec::cpu

#if !MQL4GREC_COMPILED
#include "mql4grec/backend/cpu/runtime/thread_pool.inl.hpp"
#endif
