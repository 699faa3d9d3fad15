#pragma once
// Kernels in phases. A group is a number of threads that take a phase together: what one of them writes in a phase, all
// of them may read in the next. A kernel is written once against it. On a GPU a group is a warp or a block of CUDA
// threads (gpu/primitives/cuda_thread_group.cuh); on a host system one thread plays all members in turn, so that the
// very same kernels are tested where there is no GPU.
//
// What a member keeps from one phase to the next is a local<T>: a register on a GPU. Memory that the group shares is
// asked for by the kernel's shared_bytes() and handed out by the group.
#include <concepts>
#include <cstddef>
#include <cstring>
#include <memory>

#include "mql4grec/backend/gpu/runtime/backend.hpp"

namespace mql4grec::gpu {

/// One of a number of groups; its kernel is `Kernel::operator()(ThreadGroup&, index_t number) const`.
template <int Threads>
class host_thread_group {
 public:
  static constexpr int threads = Threads;

  template <class T>
  class local {
   public:
    T& operator[](int thread) { return values_[thread]; }
    T const& operator[](int thread) const { return values_[thread]; }

   private:
    T values_[Threads];
  };

  host_thread_group(std::byte* shared, index_t number) : shared_(shared), backwards_(number % 2 == 1) {}

  /// phase(thread) on every member, in an order that nothing may depend on: it turns from phase to phase and from group
  /// to group.
  template <class Phase>
  void each(Phase&& phase) {
    backwards_ = !backwards_;
    for (int i = 0; i < Threads; ++i) phase(backwards_ ? Threads - 1 - i : i);
  }
  /// A phase that fetches: what it asked for is there when it ends.
  template <class Phase>
  void load(Phase&& phase) {
    each(phase);
  }
  /// Inside such a phase: Bytes (4, 8 or 16, and both places are multiples of them) from the backend's memory into
  /// shared memory.
  template <int Bytes>
  static void fetch(void const* from, void* to) {
    std::memcpy(to, from, Bytes);
  }
  /// Room for n entries that all members see; in the order of the calls, until the kernel ends.
  template <class T>
  T* share(index_t n) {
    T* const room = reinterpret_cast<T*>(shared_);
    shared_ += (static_cast<std::size_t>(n) * sizeof(T) + 15) / 16 * 16;
    return room;
  }
  /// Σ of the members' values, known to all.
  template <class T>
  T sum(local<T> const& values) {
    return reduce(values, [](T x, T y) { return x + y; });
  }
  template <class T>
  T max(local<T> const& values) {
    return reduce(values, [](T x, T y) { return y > x ? y : x; });
  }
  /// op over the members' values, known to all; which are taken together first must not matter to op.
  template <class T, class Op>
  T reduce(local<T> const& values, Op op) {
    T all = values[0];
    for (int thread = 1; thread < Threads; ++thread) all = op(all, values[thread]);
    return all;
  }
  /// The same over groups of so many neighbours, a power of 2 and at most 32: each member gets what its group makes.
  template <int Members, class T, class Op>
  local<T> reduce_among(local<T> const& values, Op op) {
    static_assert(Members <= 32 && Threads % Members == 0);
    local<T> all;
    for (int first = 0; first < Threads; first += Members) {
      T of_group = values[first];
      for (int i = 1; i < Members; ++i) of_group = op(of_group, values[first + i]);
      for (int i = 0; i < Members; ++i) all[first + i] = of_group;
    }
    return all;
  }
  /// Each member's value becomes the sum of those before it. Σ of all, known to all.
  template <std::integral T>
  T before(local<T>& values) {
    T total{};
    for (int thread = 0; thread < Threads; ++thread) {
      T const own = values[thread];
      values[thread] = total;
      total += own;
    }
    return total;
  }
  /// What stands in shared memory, known to all; it may be written to in the next phase.
  template <class T>
  T read(T const* place) {
    return *place;
  }
  /// Inside a phase: the number that stands in shared memory, which is one more then. Who gets which number must not
  /// matter.
  static int take(int* next) { return (*next)++; }

 private:
  std::byte* shared_;
  bool backwards_;
};

namespace detail {

template <class Kernel>
struct run_host_group {
  Kernel kernel;
  std::size_t shared_bytes;
  void operator()(index_t number) const {
    thread_local std::unique_ptr<std::max_align_t[]> memory;
    thread_local std::size_t room = 0;
    if (room < shared_bytes) {
      room = shared_bytes;
      memory = std::make_unique<std::max_align_t[]>(room / sizeof(std::max_align_t) + 1);
    }
    host_thread_group<Kernel::threads> group(reinterpret_cast<std::byte*>(memory.get()), number);
    kernel(group, number);
  }
};

/// Bytes of n entries in a group's shared memory; a kernel adds up what its calls of share() ask for.
template <class T>
constexpr std::size_t shared_bytes_of(index_t n) {
  return (static_cast<std::size_t>(n) * sizeof(T) + 15) / 16 * 16;
}

/// Runs kernel(group, number) for so many groups, in any order.
template <class System, class Kernel>
void for_each_group(backend<System>& b, index_t groups, Kernel const& kernel) {
  if (groups == 0) return;
  if constexpr (HostSystem<System>)
    for_each_index(b, groups, run_host_group<Kernel>{kernel, kernel.shared_bytes()});
  else
    System::run_groups(b.context(), groups, kernel);
}

}  // namespace detail

}  // namespace mql4grec::gpu
