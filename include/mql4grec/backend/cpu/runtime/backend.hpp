#pragma once
// The CPU backend. It derives from the reference backend: an operation with an overload for cpu::backend uses it, any
// other uses the reference's loops.
#include <memory>
#include <vector>

#include "mql4grec/backend/contract/precision.hpp"
#include "mql4grec/backend/cpu/runtime/thread_pool.hpp"
#include "mql4grec/backend/reference/reference.hpp"

namespace mql4grec::cpu {

namespace detail {
class packed_weights;
}

class weight_packing;

/// A CPU backend with a number of workers, each with its own thread and scratch. An operation runs on the worker that
/// is passed to it. Not thread-safe: a backend, or one of its workers, is used by one thread at a time.
class backend : public reference::backend {
 public:
  static constexpr char const* name = "cpu";  ///< for error messages and reports
  /// What a CPU backend is constructed with.
  struct options {
    /// The number of workers; worker 0 is the calling thread. 0: as many as the machine has hardware threads.
    index_t threads = 1;
    /// The format to which products of floats round their factors: fp32, bf16, or int8 for search.
    precision products = precision::fp32;

    bool operator==(options const&) const = default;
  };

  /// A single worker on the calling thread, with fp32 products, as a service's thread uses it.
  backend() = default;
  /// Throws error for a precision that CPUs don't have.
  explicit backend(options const& how) : backend(how.threads, how.products) {}
  /// `threads` as in options. Throws error for tf32, which CPUs don't have, and for an invalid
  /// MQL4GREC_MAX_INSTRUCTION_SET in the environment.
  explicit backend(index_t threads, precision products = precision::fp32);

  /// The precision of products of floats.
  precision products() const { return products_; }
  /// The options of a backend with a single worker and the same precision.
  options worker_options() const { return {.threads = 1, .products = products_}; }
  /// The number of workers.
  index_t workers() const { return static_cast<index_t>(others_.size()) + 1; }
  /// Worker `number`, in [0, workers()); 0 is this backend.
  backend& worker(index_t number) { return number == 0 ? *this : *others_[to_size(number - 1)]; }

  /// The weights that are packed at present, or null; see weight_packing.
  detail::packed_weights const* packed_weights() const { return active_; }

 private:
  friend class weight_packing;
  template <class Task>
  friend void for_each_worker(backend& b, Task&& task) {
    if (!b.pool_) return task(b, index_t{0});
    b.pool_->run([&](index_t number) { task(b.worker(number), number); });
  }

  precision products_ = precision::fp32;
  std::unique_ptr<thread_pool> pool_;
  std::vector<std::unique_ptr<backend>> others_;
  std::shared_ptr<detail::packed_weights> packed_;
  detail::packed_weights const* active_ = nullptr;
};

}  // namespace mql4grec::cpu

#if !MQL4GREC_COMPILED
#include "mql4grec/backend/cpu/runtime/backend.inl.hpp"
#endif
