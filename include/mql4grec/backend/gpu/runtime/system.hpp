#pragma once
// The Thrust systems that the GPU backend is written for. A system is a type: where its memory comes from, how bytes
// cross, and which execution policy its algorithms get. `cpp` and `omp` run on any CPU, with CCCL's headers alone;
// `cuda` is defined in gpu/runtime/cuda_system.cuh.
#include <thrust/system/cpp/execution_policy.h>
#include <thrust/system/omp/execution_policy.h>

#include <cstring>
#include <functional>
#include <new>
#include <vector>

#include "mql4grec/backend/contract/buffer.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::gpu {

namespace detail {

/// Whether this thread records work of a system that is the host's: then it may not do what CUDA would refuse.
inline bool& is_capturing() {
  thread_local bool yes = false;
  return yes;
}
inline void expect_not_capturing() {
  expects(!is_capturing(), "work that is captured neither allocates nor copies from or to the host");
}

/// Memory of a system that is the host's own, apart in its type only.
struct host_system {
  static constexpr std::align_val_t alignment{64};

  static void* allocate(std::size_t bytes) { return ::operator new(bytes, alignment); }
  static void deallocate(void* memory) noexcept { ::operator delete(memory, alignment); }
  static void clear(void* memory, std::size_t bytes) {
    expect_not_capturing();
    std::memset(memory, 0, bytes);
  }
  static void copy_from_host(void const* from, void* to, std::size_t bytes) {
    expect_not_capturing();
    std::memcpy(to, from, bytes);
  }
  static void copy_to_host(void const* from, void* to, std::size_t bytes) {
    expect_not_capturing();
    std::memcpy(to, from, bytes);
  }
  static void copy_within(void const* from, void* to, std::size_t bytes) {
    expect_not_capturing();
    std::memmove(to, from, bytes);
  }

  /// What a backend of the system is made with, and what it owns.
  struct options {
    bool operator==(options const&) const = default;
  };
  struct context {
    explicit context(options) {}
    static options how() { return {}; }
    void synchronize() {}

    std::vector<std::function<void()>>* graph = nullptr;  ///< where work goes instead of being done; see graph.hpp
  };
  static void enter(context const&) {}
  /// Copies in the order of the backend's work. What is uploaded may change as soon as the call returns; what is
  /// downloaded is there.
  static void upload(context const& c, void const* from, void* to, std::size_t bytes) {
    expects(!c.graph, "upload: what is captured can't be told new values by the host");
    std::memcpy(to, from, bytes);
  }
  static void download(context const& c, void const* from, void* to, std::size_t bytes) {
    expects(!c.graph, "download: the host can't wait for work that is only captured");
    std::memcpy(to, from, bytes);
  }

  /// Memory of the host that is uploaded from without a copy in between; see upload_buffer.hpp.
  class upload_memory {
   public:
    upload_memory(context const&, std::size_t bytes) : memory_(static_cast<index_t>(bytes)) {}
    std::byte* data() { return memory_.view_all().data; }
    void upload(context const& c, void* to, std::size_t bytes) { host_system::upload(c, data(), to, bytes); }
    static void wait() {}

   private:
    buffer<std::byte, host_space> memory_;
  };
};

}  // namespace detail

/// One thread; what tests compare the others with.
struct cpp : detail::host_system {
  static auto policy(context const&) { return thrust::cpp::par; }
};
/// OpenMP's threads; needs a compiler that was told so (-fopenmp).
struct omp : detail::host_system {
  static auto policy(context const&) { return thrust::omp::par; }
};
/// NVIDIA's GPUs; see gpu/runtime/cuda_system.cuh.
struct cuda;

/// Systems whose memory a CBLAS can read.
template <class System>
concept HostSystem = std::derived_from<System, detail::host_system>;

}  // namespace mql4grec::gpu

namespace mql4grec::detail {
template <class System>
  requires gpu::HostSystem<System>
inline constexpr bool is_host_memory<device_space<System>> = true;
}  // namespace mql4grec::detail
