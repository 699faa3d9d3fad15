#pragma once
// Kernels in phases. A team is a number of threads that take a phase together: what one of them writes in a phase, all of them may read
// in the next. A kernel is written once against it. On a GPU a team is a warp or a block of CUDA threads (cuda/team.cuh); on a host
// system one thread plays all members in turn, so that the very same kernels are tested where there is no GPU.
//
// What a member keeps from one phase to the next is a local<T>: a register on a GPU. Memory that the team shares is asked for by the
// kernel's shared_bytes() and handed out by the team.
#include <cstddef>
#include <memory>

#include "mql4grec/backend/gpu/backend.hpp"

namespace mql4grec::gpu {

/// One of a number of teams; its kernel is `Kernel::operator()(Team&, index_t number) const`.
template <int Threads>
class host_team {
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

  host_team(std::byte* shared, index_t number) : shared_(shared), backwards_(number % 2 == 1) {}

  /// phase(thread) on every member, in an order that nothing may depend on: it turns from phase to phase and from team to team.
  template <class Phase>
  void each(Phase&& phase) {
    backwards_ = !backwards_;
    for (int i = 0; i < Threads; ++i) phase(backwards_ ? Threads - 1 - i : i);
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
    T total = values[0];
    for (int thread = 1; thread < Threads; ++thread) total += values[thread];
    return total;
  }
  template <class T>
  T max(local<T> const& values) {
    T most = values[0];
    for (int thread = 1; thread < Threads; ++thread) most = values[thread] > most ? values[thread] : most;
    return most;
  }

 private:
  std::byte* shared_;
  bool backwards_;
};

namespace detail {

template <class Kernel>
struct play_team {
  Kernel kernel;
  std::size_t shared_bytes;
  void operator()(index_t number) const {
    thread_local std::unique_ptr<std::max_align_t[]> memory;
    thread_local std::size_t room = 0;
    if (room < shared_bytes) {
      room = shared_bytes;
      memory = std::make_unique<std::max_align_t[]>(room / sizeof(std::max_align_t) + 1);
    }
    host_team<Kernel::threads> team(reinterpret_cast<std::byte*>(memory.get()), number);
    kernel(team, number);
  }
};

/// Bytes of n entries in a team's shared memory; a kernel adds up what its calls of share() ask for.
template <class T>
constexpr std::size_t shared_bytes_of(index_t n) {
  return (static_cast<std::size_t>(n) * sizeof(T) + 15) / 16 * 16;
}

/// Runs kernel(team, number) for so many teams, in any order.
template <class System, class Kernel>
void for_each_team(backend<System>& b, index_t teams, Kernel const& kernel) {
  if (teams == 0) return;
  if constexpr (HostSystem<System>)
    for_each_index(b, teams, play_team<Kernel>{kernel, kernel.shared_bytes()});
  else
    System::run_teams(b.context(), teams, kernel);
}

}  // namespace detail

}  // namespace mql4grec::gpu
