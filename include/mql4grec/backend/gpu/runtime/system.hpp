#pragma once
// The Thrust systems that the GPU backend supports. A system is a type that defines where memory is allocated, how
// bytes are copied, and which execution policy algorithms use. `cpp` and `omp` run on any CPU and need only CCCL's
// headers; `cuda` is defined in gpu/runtime/cuda_system.cuh.
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

/// Whether this thread captures work of a host system. Meanwhile everything that CUDA would refuse is an error.
inline bool& host_is_capturing() {
  thread_local bool yes = false;
  return yes;
}
inline void expect_not_capturing() {
  expects(!host_is_capturing(), "work that is captured neither allocates nor copies from or to the host");
}

/// Base of the systems whose memory is the host's; only its type is different.
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

  /// The options and the resources of such a backend; there are no options.
  struct options {
    bool operator==(options const&) const = default;
  };
  struct context {
    explicit context(options) {}
    static options how() { return {}; }
    void synchronize() {}

    /// When not null, work is recorded here instead of executed; see capture.hpp.
    std::vector<std::function<void()>>* graph = nullptr;
  };
  static void enter(context const&) {}
  /// Copies in the order of the backend's work. After upload(), `from` may change; after download(), `to` has the
  /// values.
  static void upload(context const& c, void const* from, void* to, std::size_t bytes) {
    expects(!c.graph, "upload: captured work can't receive new values from the host");
    std::memcpy(to, from, bytes);
  }
  static void download(context const& c, void const* from, void* to, std::size_t bytes) {
    expects(!c.graph, "download: the host can't wait for work that is only captured");
    std::memcpy(to, from, bytes);
  }

  /// Host memory that is uploaded without an intermediate copy; see upload_buffer.hpp.
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

/// Serial execution; tests compare the other systems with it.
struct cpp : detail::host_system {
  /// The Thrust policy.
  static auto policy(context const&) { return thrust::cpp::par; }
};
/// OpenMP threads; needs compilation with OpenMP enabled (-fopenmp).
struct omp : detail::host_system {
  /// The Thrust policy.
  static auto policy(context const&) { return thrust::omp::par; }
};
/// NVIDIA's GPUs; see gpu/runtime/cuda_system.cuh.
struct cuda;

/// Systems whose memory is the host's, so that CBLAS can read it.
template <class System>
concept HostSystem = std::derived_from<System, detail::host_system>;

}  // namespace mql4grec::gpu

namespace mql4grec {
inline namespace contract {
namespace detail {
template <class System>
  requires gpu::HostSystem<System>
inline constexpr bool is_host_memory<device_space<System>> = true;
}  // namespace detail
}  // namespace contract
}  // namespace mql4grec
