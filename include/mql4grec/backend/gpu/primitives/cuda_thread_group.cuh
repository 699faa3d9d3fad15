#pragma once
// Thread groups of CUDA threads: a warp (several warps share a block), or a whole block.
#include <cooperative_groups.h>
#include <cuda_pipeline_primitives.h>

#include <algorithm>
#include <concepts>
#include <cstring>
#include <type_traits>

#include "mql4grec/backend/gpu/runtime/cuda_error.cuh"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

/// The device's counterpart of host_thread_group, with the same members; see there for what they do. Members are also
/// __host__, because kernels are; the host never runs them.
template <int Threads>
class device_thread_group {
  static_assert(Threads == 32 || (Threads % 32 == 0 && Threads <= 1024),
                "a group is a warp, or a block of whole warps");
  static constexpr int warps = Threads / 32;

 public:
  /// See host_thread_group.
  static constexpr int threads = Threads;

  /// A variable that each member has a copy of; a register.
  template <class T>
  class local {
   public:
    /// The member's copy; the index is ignored.
    MQL4GREC_HD T& operator[](int) { return value_; }
    /// The member's copy; the index is ignored.
    MQL4GREC_HD T const& operator[](int) const { return value_; }

   private:
    T value_;
  };

  /// `reductions`: 16 bytes of shared memory per warp.
  MQL4GREC_HD device_thread_group(std::byte* shared, std::byte* reductions, int thread)
      : shared_(shared), reductions_(reductions), thread_(thread) {}

  /// A phase; ends with a barrier. See host_thread_group.
  template <class Phase>
  MQL4GREC_HD void each(Phase&& phase) {
    phase(thread_);
    wait();
  }
  /// A phase that may call copy_async(); waits for the copies. See host_thread_group.
  template <class Phase>
  MQL4GREC_HD void load(Phase&& phase) {
    phase(thread_);
#if defined(__CUDA_ARCH__)
    __pipeline_commit();
    __pipeline_wait_prior(0);
#endif
    wait();
  }
  /// Copies asynchronously to shared memory. See host_thread_group.
  template <int Bytes>
  MQL4GREC_HD static void copy_async(void const* from, void* to) {
#if defined(__CUDA_ARCH__)
    __pipeline_memcpy_async(to, from, Bytes);
#else
    memcpy(to, from, Bytes);
#endif
  }
  /// Entries of shared memory. See host_thread_group.
  template <class T>
  MQL4GREC_HD T* share(index_t n) {
    T* const first = reinterpret_cast<T*>(shared_);
    shared_ += (to_size(n) * sizeof(T) + 15) / 16 * 16;
    return first;
  }
  /// The sum of the members' values. See host_thread_group.
  template <class T>
  MQL4GREC_HD T sum(local<T> const& values) {
    return reduce(values, [](T x, T y) { return x + y; });
  }
  /// The maximum of the members' values. See host_thread_group.
  template <class T>
  MQL4GREC_HD T max(local<T> const& values) {
    return reduce(values, [](T x, T y) { return y > x ? y : x; });
  }
  /// Combines the members' values. See host_thread_group.
  template <class T, class Op>
  MQL4GREC_HD T reduce(local<T> const& values, Op op) {
    T value = values[thread_];
#if defined(__CUDA_ARCH__)
    for (int apart = 16; apart > 0; apart /= 2) value = op(value, of_lane(value, (thread_ % 32) ^ apart));
    if constexpr (warps > 1) {
      T* const of_warp = reductions<T>();
      if (thread_ % 32 == 0) of_warp[thread_ / 32] = value;
      __syncthreads();
      value = of_warp[0];
      for (int w = 1; w < warps; ++w) value = op(value, of_warp[w]);
      __syncthreads();  // the next reduction overwrites of_warp
    }
#else
    (void)op;
#endif
    return value;
  }
  /// Combines the values of each group of neighbours. See host_thread_group.
  template <int Members, class T, class Op>
  MQL4GREC_HD local<T> reduce_among(local<T> const& values, Op op) {
    local<T> all = values;
#if defined(__CUDA_ARCH__)
    for (int apart = Members / 2; apart > 0; apart /= 2)
      all[thread_] = op(all[thread_], of_lane(all[thread_], (thread_ % 32) ^ apart));
#else
    (void)op;
#endif
    return all;
  }
  /// Exclusive prefix sum; returns the total. See host_thread_group.
  template <std::integral T>
  MQL4GREC_HD T exclusive_scan(local<T>& values) {
    T total{};
#if defined(__CUDA_ARCH__)
    int const lane = thread_ % 32;
    T const own = values[thread_];
    T upto = own;
    for (int apart = 1; apart < 32; apart *= 2) {
      T const left = of_lane(upto, lane - apart);
      if (lane >= apart) upto += left;
    }
    total = of_lane(upto, 31);
    T of_earlier_warps{};
    if constexpr (warps > 1) {
      T* const of_warp = reductions<T>();
      if (lane == 0) of_warp[thread_ / 32] = total;
      __syncthreads();
      total = T{};
      for (int w = 0; w < warps; ++w) {
        if (w == thread_ / 32) of_earlier_warps = total;
        total += of_warp[w];
      }
      __syncthreads();
    }
    values[thread_] = of_earlier_warps + (upto - own);
#else
    (void)values;
#endif
    return total;
  }
  /// Reads shared memory that the next phase may overwrite. See host_thread_group.
  template <class T>
  MQL4GREC_HD T read(T const* place) {
    T const value = *place;
    wait();
    return value;
  }
  /// Atomically increments a counter and returns the old value. See host_thread_group.
  MQL4GREC_HD static int atomic_increment(int* next) {
#if defined(__CUDA_ARCH__)
    return atomicAdd(next, 1);
#else
    return (*next)++;
#endif
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
  template <class T>
  MQL4GREC_HD T* reductions() {
    static_assert(sizeof(T) <= 16);
    return reinterpret_cast<T*>(reductions_);
  }
#if defined(__CUDACC__)
  /// The value of another lane of the warp. T is arithmetic, or its size is a multiple of int's.
  template <class T>
  __device__ static T of_lane(T const& value, int lane) {
    if constexpr (std::is_arithmetic_v<T>) {
      return __shfl_sync(0xffffffffu, value, lane & 31);
    } else {
      static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(int) == 0);
      constexpr int words = sizeof(T) / sizeof(int);
      int all[words];
      memcpy(all, &value, sizeof value);
      for (int w = 0; w < words; ++w) all[w] = __shfl_sync(0xffffffffu, all[w], lane & 31);
      T there;
      memcpy(&there, all, sizeof there);
      return there;
    }
  }
#endif

  std::byte *shared_, *reductions_;
  int thread_;
};

namespace detail {

/// The number of groups in a block. Several warps share one, so that enough of them fit a multiprocessor.
template <int Threads>
inline constexpr int groups_per_block = Threads == 32 ? 4 : 1;

/// The number of blocks that a multiprocessor must be able to hold, which bounds the registers per thread. A kernel may
/// define it as `blocks_together`; 1 otherwise.
template <class Kernel>
constexpr int blocks_together() {
  if constexpr (requires { Kernel::blocks_together; })
    return Kernel::blocks_together;
  else
    return 1;
}

template <class Kernel>
__global__ void __launch_bounds__(Kernel::threads* groups_per_block<Kernel::threads>, blocks_together<Kernel>())
    run_group(Kernel kernel, index_t groups, std::size_t shared_bytes) {
  constexpr int threads = Kernel::threads, together = groups_per_block<threads>;
  extern __shared__ int4 memory[];  // aligned for anything
  __shared__ int4 reductions[threads / 32];
  int const group_in_block = static_cast<int>(threadIdx.x) / threads;
  index_t const number = static_cast<index_t>(blockIdx.x) * together + group_in_block;
  if (number >= groups) return;  // a whole warp, or a whole block
  device_thread_group<threads> group(reinterpret_cast<std::byte*>(memory) + to_size(group_in_block) * shared_bytes,
                                     reinterpret_cast<std::byte*>(reductions), static_cast<int>(threadIdx.x) % threads);
  kernel(group, number);
}

/// All steps of a kernel. Each block runs the groups that are its turn, and waits for the other blocks after each step.
template <class Kernel>
__global__ void __launch_bounds__(Kernel::threads, blocks_together<Kernel>())
    run_groups_in_steps(Kernel kernel, index_t groups, index_t steps) {
  static_assert(groups_per_block<Kernel::threads> == 1, "groups that take steps together are blocks");
  extern __shared__ int4 memory[];  // aligned for anything
  __shared__ int4 reductions[Kernel::threads / 32];
  auto const all = cooperative_groups::this_grid();
  for (index_t step = 0; step < steps; ++step) {
    if (step > 0) all.sync();
    for (index_t number = blockIdx.x; number < groups; number += gridDim.x) {
      device_thread_group<Kernel::threads> group(reinterpret_cast<std::byte*>(memory),
                                                 reinterpret_cast<std::byte*>(reductions),
                                                 static_cast<int>(threadIdx.x));
      kernel(group, number, step);
      __syncthreads();  // the next group uses the same shared memory
    }
  }
}

/// Lets a kernel use so many bytes of shared memory per block.
template <class Run>
void allow_shared_memory(Run run, std::size_t bytes) {
  constexpr std::size_t without_asking = 48 << 10;
  if (bytes > without_asking)
    check(cudaFuncSetAttribute(run, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
          "shared memory of a kernel");
}

template <class Kernel>
void launch_groups(cudaStream_t stream, index_t groups, Kernel const& kernel) {
  constexpr int together = groups_per_block<Kernel::threads>;
  std::size_t const each = (kernel.shared_bytes() + 15) / 16 * 16, bytes = each * together;
  allow_shared_memory(run_group<Kernel>, bytes);
  run_group<Kernel>
      <<<static_cast<unsigned>((groups + together - 1) / together), Kernel::threads * together, bytes, stream>>>(
          kernel, groups, each);
  check(cudaGetLastError(), "launch of a kernel");
}

/// One launch for all steps, by at most as many blocks as the device runs at the same time: they wait for each other.
template <class Kernel>
void launch_groups_in_steps(cudaStream_t stream, int device, index_t groups, index_t steps, Kernel const& kernel) {
  auto const run = run_groups_in_steps<Kernel>;
  std::size_t const bytes = kernel.shared_bytes();
  allow_shared_memory(run, bytes);
  int multiprocessors = 0, blocks_each = 0;
  check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks_each, run, Kernel::threads, bytes),
        "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
  cudaLaunchAttribute together{};
  together.id = cudaLaunchAttributeCooperative;
  together.val.cooperative = 1;
  cudaLaunchConfig_t how{};
  how.gridDim = static_cast<unsigned>(std::min(groups, index_t{multiprocessors} * blocks_each));
  how.blockDim = Kernel::threads;
  how.dynamicSmemBytes = bytes;
  how.stream = stream;
  how.attrs = &together;
  how.numAttrs = 1;
  check(cudaLaunchKernelEx(&how, run, kernel, groups, steps), "launch of a kernel in steps");
}

}  // namespace detail

}  // namespace mql4grec::gpu
