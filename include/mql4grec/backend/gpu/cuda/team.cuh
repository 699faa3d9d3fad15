#pragma once
// Teams of CUDA threads: a warp, several of which share a block, or a block of their own.
#include "mql4grec/backend/gpu/cuda/error.cuh"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

/// The device's counterpart of host_team, member by member. Its members are __host__ too, because kernels are; the host never runs them.
template <int Threads>
class device_team {
  static_assert(Threads == 32 || (Threads % 32 == 0 && Threads <= 1024), "a team is a warp, or a block of whole warps");
  static constexpr int warps = Threads / 32;

 public:
  static constexpr int threads = Threads;

  template <class T>
  class local {
   public:
    MQL4GREC_HD T& operator[](int) { return value_; }
    MQL4GREC_HD T const& operator[](int) const { return value_; }

   private:
    T value_;
  };

  /// `reductions`: room for a value a warp, 16 bytes each.
  MQL4GREC_HD device_team(std::byte* shared, std::byte* reductions, int thread) : shared_(shared), reductions_(reductions), thread_(thread) {}

  template <class Phase>
  MQL4GREC_HD void each(Phase&& phase) {
    phase(thread_);
    wait();
  }
  template <class T>
  MQL4GREC_HD T* share(index_t n) {
    T* const room = reinterpret_cast<T*>(shared_);
    shared_ += (static_cast<std::size_t>(n) * sizeof(T) + 15) / 16 * 16;
    return room;
  }
  template <class T>
  MQL4GREC_HD T sum(local<T> const& values) {
    return reduce(values[thread_], [](T x, T y) { return x + y; });
  }
  template <class T>
  MQL4GREC_HD T max(local<T> const& values) {
    return reduce(values[thread_], [](T x, T y) { return y > x ? y : x; });
  }

 private:
  MQL4GREC_HD void wait() {
#if defined(__CUDA_ARCH__)
    if constexpr (Threads == 32)
      __syncwarp();
    else
      __syncthreads();
#endif
  }
  template <class T, class Op>
  MQL4GREC_HD T reduce(T value, Op op) {
#if defined(__CUDA_ARCH__)
    for (int apart = 16; apart > 0; apart /= 2) value = op(value, __shfl_xor_sync(0xffffffffu, value, apart));
    if constexpr (warps > 1) {
      T* const of_warp = reinterpret_cast<T*>(reductions_);
      static_assert(sizeof(T) <= 16);
      if (thread_ % 32 == 0) of_warp[thread_ / 32] = value;
      __syncthreads();
      value = of_warp[0];
      for (int w = 1; w < warps; ++w) value = op(value, of_warp[w]);
      __syncthreads();  // the next reduction writes there again
    }
#else
    (void)op;
#endif
    return value;
  }

  std::byte *shared_, *reductions_;
  int thread_;
};

namespace detail {

/// Warps that share a block, so that enough of them fit a multiprocessor.
template <int Threads>
inline constexpr int teams_a_block = Threads == 32 ? 4 : 1;

template <class Kernel>
__global__ void __launch_bounds__(Kernel::threads* teams_a_block<Kernel::threads>) run_team(Kernel kernel, index_t teams, std::size_t shared_bytes) {
  constexpr int threads = Kernel::threads, together = teams_a_block<threads>;
  extern __shared__ int4 memory[];  // aligned for anything
  __shared__ int4 reductions[threads / 32];
  int const team_in_block = static_cast<int>(threadIdx.x) / threads;
  index_t const number = static_cast<index_t>(blockIdx.x) * together + team_in_block;
  if (number >= teams) return;  // a whole warp, or a whole block
  device_team<threads> team(reinterpret_cast<std::byte*>(memory) + static_cast<std::size_t>(team_in_block) * shared_bytes,
                            reinterpret_cast<std::byte*>(reductions), static_cast<int>(threadIdx.x) % threads);
  kernel(team, number);
}

template <class Kernel>
void launch_teams(cudaStream_t stream, index_t teams, Kernel const& kernel) {
  constexpr int together = teams_a_block<Kernel::threads>;
  constexpr std::size_t without_asking = 48 << 10;
  std::size_t const each = (kernel.shared_bytes() + 15) / 16 * 16, bytes = each * together;
  if (bytes > without_asking)
    check(cudaFuncSetAttribute(run_team<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)), "shared memory of a kernel");
  run_team<Kernel><<<static_cast<unsigned>((teams + together - 1) / together), Kernel::threads * together, bytes, stream>>>(kernel, teams, each);
  check(cudaGetLastError(), "launch of a kernel");
}

}  // namespace detail

}  // namespace mql4grec::gpu
