#pragma once
// Operations written once with Thrust, for any of its systems. The system is part of the type: two of them never share
// a name, a memory space or an overload, and a faster kernel of one of them is an overload for backend<that system>.
#include <thrust/for_each.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/system_error.h>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/precision.hpp"
#include "mql4grec/backend/gpu/runtime/buffer.hpp"

namespace mql4grec::gpu {

/// One worker: what runs side by side on it is the system's matter.
template <class System>
class backend {
 public:
  using system = System;
  using memory_space = device_space<System>;
  using options = typename System::options;
  static constexpr char const* name = "gpu";

  explicit backend(options const& how = {}) : context_(how) {}

  template <class T>
  buffer<T, memory_space> allocate(index_t n) {
    System::enter(context_);
    return buffer<T, memory_space>(n);
  }
  arena<memory_space>& scratch() {
    System::enter(context_);
    return scratch_;
  }
  index_t workers() const { return 1; }
  backend& worker(index_t) { return *this; }
  /// Returns when everything that was asked for has been done.
  void synchronize() { context_.synchronize(); }
  /// The same device, the same precision.
  options worker_options() const { return context_.how(); }

  /// What matrix products round their factors to, where the system has a choice.
  precision products() const requires requires(options const& how) { how.products; }
  { return context_.how().products; }

  /// What the system's own kernels need: a stream, handles.
  typename System::context& context() { return context_; }
  typename System::context const& context() const { return context_; }
  auto policy() { return System::policy(context_); }

 private:
  typename System::context context_;
  arena<memory_space> scratch_;
};

template <class System, class Task>
void for_each_worker(backend<System>& b, Task&& task) {
  task(b, index_t{0});
}

namespace detail {

/// Does the work, which the host does itself, or records it. The task holds everything by value.
template <HostSystem System, class Task>
void submit(backend<System>& b, Task const& task) {
  if (auto* const list = b.context().graph)
    list->push_back(task);
  else
    task();
}

/// visit(i) for every i below n, in any order. A visitor is a named functor that holds views by value: nvcc takes no
/// others in headers.
template <class System, class Visit>
void for_each_index(backend<System>& b, index_t n, Visit const& visit) {
  if (n <= 0) return;
  thrust::counting_iterator<index_t> const first(0);
  if constexpr (HostSystem<System>)
    submit(b, [policy = b.policy(), first, n, visit] { thrust::for_each_n(policy, first, n, visit); });
  else
    try {
      thrust::for_each_n(b.policy(), first, n, visit);
    } catch (thrust::system_error const& e) {  // everything that the library throws is an mql4grec::error
      mql4grec::detail::raise("GPU: launch of a kernel: ", e.what());
    }
}

template <class Visit>
struct visit_entry {
  Visit visit;
  index_t columns;

  MQL4GREC_HD void operator()(index_t at) const { visit(at / columns, at % columns); }
};

/// visit(i, j) for every entry of a table.
template <class System, class Visit>
void for_each_entry(backend<System>& b, index_t rows, index_t columns, Visit const& visit) {
  for_each_index(b, rows * columns, visit_entry<Visit>{visit, columns});
}

}  // namespace detail

}  // namespace mql4grec::gpu
