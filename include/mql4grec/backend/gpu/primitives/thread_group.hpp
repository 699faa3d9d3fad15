#pragma once
// Kernels written in phases, once for all systems. A thread group executes one phase after another: what a member
// writes during a phase, all members may read in the next phase, and not earlier. On a GPU a group is a warp or a block
// of CUDA threads (gpu/primitives/cuda_thread_group.cuh). On a host system one thread executes all members in turn, so
// the same kernels are tested without a GPU.
//
// A local<T> is a variable of a member that persists between phases: a register on a GPU. Shared memory is allocated by
// share(); a kernel's shared_bytes() returns how much of it the kernel uses in total.
#include <concepts>
#include <cstddef>
#include <cstring>
#include <memory>

#include "mql4grec/backend/gpu/runtime/backend.hpp"

namespace mql4grec::gpu {

/// A thread group on a host system. A kernel is a functor with `operator()(ThreadGroup&, index_t number) const`, where
/// `number` is the number of the group.
template <int Threads>
class host_thread_group {
 public:
  /// The number of members.
  static constexpr int threads = Threads;

  /// A variable that each member has a copy of; indexed by member.
  template <class T>
  class local {
   public:
    /// The member's copy.
    T& operator[](int thread) { return values_[thread]; }
    /// The member's copy.
    T const& operator[](int thread) const { return values_[thread]; }

   private:
    T values_[Threads];
  };

  /// Group `number` of a kernel, with the shared memory of its groups.
  host_thread_group(std::byte* shared, index_t number) : shared_(shared), backwards_(number % 2 == 1) {}

  /// A phase: calls phase(thread) for every member. The order is unspecified; it alternates from phase to phase and
  /// from group to group, so that tests find kernels that depend on it.
  template <class Phase>
  void each(Phase&& phase) {
    backwards_ = !backwards_;
    for (int i = 0; i < Threads; ++i) phase(backwards_ ? Threads - 1 - i : i);
  }
  /// A phase that may call copy_async(); the data is available when the phase ends.
  template <class Phase>
  void load(Phase&& phase) {
    each(phase);
  }
  /// Inside load(): copies Bytes (4, 8 or 16; both addresses must be multiples of it) from the backend's memory to
  /// shared memory, asynchronously on a GPU.
  template <int Bytes>
  static void copy_async(void const* from, void* to) {
    std::memcpy(to, from, Bytes);
  }
  /// n entries of shared memory, valid until the kernel ends. All members must make the same calls in the same order.
  template <class T>
  T* share(index_t n) {
    T* const first = reinterpret_cast<T*>(shared_);
    shared_ += (to_size(n) * sizeof(T) + 15) / 16 * 16;
    return first;
  }
  /// The sum of the members' values; every member gets it.
  template <class T>
  T sum(local<T> const& values) {
    return reduce(values, [](T x, T y) { return x + y; });
  }
  /// The maximum of the members' values; every member gets it.
  template <class T>
  T max(local<T> const& values) {
    return reduce(values, [](T x, T y) { return y > x ? y : x; });
  }
  /// Reduces the members' values with `op`, which must be associative and commutative; every member gets the result.
  template <class T, class Op>
  T reduce(local<T> const& values, Op op) {
    T all = values[0];
    for (int thread = 1; thread < Threads; ++thread) all = op(all, values[thread]);
    return all;
  }
  /// The same for each group of `Members` neighbours (a power of 2, at most 32): each member gets the result of its own
  /// group.
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
  /// Exclusive prefix sum: each member's value becomes the sum of those of lower-numbered members. Returns the total.
  template <std::integral T>
  T exclusive_scan(local<T>& values) {
    T total{};
    for (int thread = 0; thread < Threads; ++thread) {
      T const own = values[thread];
      values[thread] = total;
      total += own;
    }
    return total;
  }
  /// Reads shared memory for all members; it may be written again in the next phase.
  template <class T>
  T read(T const* place) {
    return *place;
  }
  /// Inside a phase: returns the counter in shared memory and increments it, atomically on a GPU. Results must not
  /// depend on which member gets which number.
  static int atomic_increment(int* next) { return (*next)++; }

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
    thread_local std::size_t capacity = 0;
    if (capacity < shared_bytes) {
      capacity = shared_bytes;
      memory = std::make_unique<std::max_align_t[]>(capacity / sizeof(std::max_align_t) + 1);
    }
    host_thread_group<Kernel::threads> group(reinterpret_cast<std::byte*>(memory.get()), number);
    kernel(group, number);
  }
};

/// The bytes of n entries in shared memory; shared_bytes() of a kernel is the sum of these for all its calls of
/// share().
template <class T>
constexpr std::size_t shared_bytes_of(index_t n) {
  return (to_size(n) * sizeof(T) + 15) / 16 * 16;
}

/// Runs kernel(group, number) for each group number in [0, groups), in any order.
template <class System, class Kernel>
void for_each_group(backend<System>& b, index_t groups, Kernel const& kernel) {
  if (groups == 0) return;
  if constexpr (HostSystem<System>)
    for_each_index(b, groups, run_host_group<Kernel>{kernel, kernel.shared_bytes()});
  else
    System::run_groups(b.context(), groups, kernel);
}

/// One step of a kernel that takes several.
template <class Kernel>
struct one_step {
  static constexpr int threads = Kernel::threads;
  Kernel kernel;
  index_t step;

  std::size_t shared_bytes() const { return kernel.shared_bytes(); }
  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t number) const {
    kernel(group, number, step);
  }
};

/// Runs kernel(group, number, step) for each group number in [0, groups), in any order, and that for each step in
/// [0, steps), one after the other: what a group writes to the backend's memory in a step, all groups may read in the
/// next. Shared memory and local variables don't outlive a step. A system whose groups can wait for each other has
/// run_groups_in_steps, which is a single launch.
template <class System, class Kernel>
void for_each_group_in_steps(backend<System>& b, index_t groups, index_t steps, Kernel const& kernel) {
  if (groups == 0 || steps == 0) return;
  if constexpr (requires { System::run_groups_in_steps(b.context(), groups, steps, kernel); })
    System::run_groups_in_steps(b.context(), groups, steps, kernel);
  else
    for (index_t step = 0; step < steps; ++step) for_each_group(b, groups, one_step<Kernel>{kernel, step});
}

}  // namespace detail

}  // namespace mql4grec::gpu
