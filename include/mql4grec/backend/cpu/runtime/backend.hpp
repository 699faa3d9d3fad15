#pragma once
// Everything the reference backend has, with faster overloads: an operation written for cpu::backend is a better match
// than the reference's, one that isn't falls back to the loops.
#include <memory>
#include <vector>

#include "mql4grec/backend/contract/precision.hpp"
#include "mql4grec/backend/cpu/runtime/thread_pool.hpp"
#include "mql4grec/backend/reference/reference.hpp"

namespace mql4grec::cpu {

/// A CPU with a number of workers, each a thread with scratch of its own. Operations run on the worker they are given.
class backend : public reference::backend {
 public:
  static constexpr char const* name = "cpu";
  struct options {
    index_t threads = 1;  ///< workers; worker 0 is the caller's thread. 0: as many as the machine runs at once
    precision products = precision::fp32;  ///< fp32 or bf16

    bool operator==(options const&) const = default;
  };

  /// One worker, on the calling thread, with products in fp32: what a service thread uses.
  backend() = default;
  explicit backend(options const& how) : backend(how.threads, how.products) {}
  /// Throws error for a precision that CPUs don't have.
  explicit backend(index_t threads, precision products = precision::fp32);

  /// What products of floats round their factors to.
  precision products() const { return products_; }
  options worker_options() const { return {.threads = 1, .products = products_}; }
  index_t workers() const { return static_cast<index_t>(others_.size()) + 1; }
  backend& worker(index_t number) { return number == 0 ? *this : *others_[static_cast<std::size_t>(number - 1)]; }

 private:
  template <class Task>
  friend void for_each_worker(backend& b, Task&& task) {
    if (!b.pool_) return task(b, index_t{0});
    b.pool_->run([&](index_t number) { task(b.worker(number), number); });
  }

  precision products_ = precision::fp32;
  std::unique_ptr<thread_pool> pool_;
  std::vector<std::unique_ptr<backend>> others_;
};

}  // namespace mql4grec::cpu

#if !MQL4GREC_COMPILED
#include "mql4grec/backend/cpu/runtime/backend.inl.hpp"
#endif
