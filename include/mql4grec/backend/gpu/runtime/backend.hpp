#pragma once
// The GPU backend, written once with Thrust for each of its systems. The system is part of the type: two systems never
// share a name, a memory space or an overload. A faster kernel for one system is an overload for backend<that system>.
#include <thrust/for_each.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/system_error.h>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/precision.hpp"
#include "mql4grec/backend/gpu/runtime/buffer.hpp"

namespace mql4grec::gpu {

/// A backend on a Thrust system. It has a single worker; the system runs the work in parallel. Kernels are asynchronous
/// on a GPU: an operation may return before it has been executed. Not thread-safe: one thread uses a backend at a time.
template <class System>
class backend {
 public:
  /// The Thrust system.
  using system = System;
  /// The memory space of the system.
  using memory_space = device_space<System>;
  /// The options of the system.
  using options = typename System::options;
  static constexpr char const* name = "gpu";  ///< for error messages and reports
  /// How many small products of one shape are worth a batch: alone they fill a fraction of a device, and each costs a
  /// launch.
  static constexpr index_t products_at_once = 64;

  /// Opens a device; see the system's options. Throws error when there is no such device.
  explicit backend(options const& how = {}) : context_(how) {}

  /// n zeros. Throws error when the device has too little memory.
  template <class T>
  buffer<T, memory_space> allocate(index_t n) {
    System::enter(context_);
    return buffer<T, memory_space>(n);
  }
  /// Scratch memory for temporaries; see arena for its lifetime rules.
  arena<memory_space>& scratch() {
    System::enter(context_);
    return scratch_;
  }
  /// Always 1.
  index_t workers() const { return 1; }
  /// This backend.
  backend& worker(index_t) { return *this; }
  /// Waits until all submitted work has been executed. Throws error when some of it failed.
  void synchronize() { context_.synchronize(); }
  /// The options of a further backend on the same device and with the same precision.
  options worker_options() const { return context_.how(); }

  /// The precision of matrix products, for systems that offer a choice.
  precision products() const requires requires(options const& how) { how.products; }
  { return context_.how().products; }

  /// The resources of the system that kernels need: a stream, library handles.
  typename System::context& context() { return context_; }
  /// The same, const.
  typename System::context const& context() const { return context_; }
  /// The Thrust execution policy of this backend's work.
  auto policy() { return System::policy(context_); }

 private:
  typename System::context context_;
  arena<memory_space> scratch_;
};

/// Calls task(b, 0): the backend is its only worker.
template <class System, class Task>
void for_each_worker(backend<System>& b, Task&& task) {
  task(b, index_t{0});
}

namespace detail {

/// Executes the work on the host or, while a graph is captured, records it. The task must hold everything by value,
/// since it may run after the caller has returned.
template <HostSystem System, class Task>
void submit(backend<System>& b, Task const& task) {
  if (auto* const list = b.context().graph)
    list->push_back(task);
  else
    task();
}

/// Calls visit(i) for every i in [0, n), in any order. A visitor is a named functor that holds views by value, because
/// nvcc accepts no lambdas in headers.
template <class System, class Visit>
void for_each_index(backend<System>& b, index_t n, Visit const& visit) {
  if (n <= 0) return;
  thrust::counting_iterator<index_t> const first(0);
  if constexpr (HostSystem<System>)
    submit(b, [policy = b.policy(), first, n, visit] { thrust::for_each_n(policy, first, n, visit); });
  else
    try {
      thrust::for_each_n(b.policy(), first, n, visit);
    } catch (thrust::system_error const& e) {  // the library throws no other type than mql4grec::error
      raise<device_error>("GPU: launch of a kernel: ", e.what());
    }
}

template <class Visit>
struct visit_entry {
  Visit visit;
  index_t columns;

  MQL4GREC_HD void operator()(index_t at) const { visit(at / columns, at % columns); }
};

/// Calls visit(i, j) for every entry of a (rows, columns) table, in any order.
template <class System, class Visit>
void for_each_entry(backend<System>& b, index_t rows, index_t columns, Visit const& visit) {
  for_each_index(b, rows * columns, visit_entry<Visit>{visit, columns});
}

}  // namespace detail

}  // namespace mql4grec::gpu
