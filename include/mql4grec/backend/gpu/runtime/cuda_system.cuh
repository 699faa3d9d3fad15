#pragma once
// NVIDIA's GPUs as a Thrust system: each backend has one stream on the device that its options name. Nothing here
// assumes device 0.
#include <cublasLt.h>
#include <thrust/system/cuda/execution_policy.h>

#include <memory>
#include <shared_mutex>
#include <string>

#include "mql4grec/backend/contract/precision.hpp"
#include "mql4grec/backend/gpu/matmul/product_plans.cuh"
#include "mql4grec/backend/gpu/primitives/cuda_thread_group.cuh"
#include "mql4grec/backend/gpu/runtime/cuda_error.cuh"
#include "mql4grec/backend/gpu/runtime/pinned_memory.cuh"
#include "mql4grec/backend/gpu/runtime/system.hpp"

namespace mql4grec::gpu {

/// The options of a backend on an NVIDIA GPU.
struct cuda_options {
  int device = 0;                                 ///< the CUDA device number, counted from 0
  precision products = precision::fp32;           ///< the format to which matrix products round their factors
  std::size_t workspace = std::size_t{32} << 20;  ///< bytes of device memory for cuBLASLt's workspace

  bool operator==(cuda_options const&) const = default;
};

/// The number of GPUs, at least one. Throws error with one line on what is missing when none is usable.
inline int device_count() {
  int count = 0;
  auto const status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    cudaGetLastError();
    raise("GPU: no usable NVIDIA driver (", cudaGetErrorString(status), "), expected one that runs CUDA ",
          CUDART_VERSION / 1000, ".", CUDART_VERSION % 1000 / 10);
  }
  expects(count > 0, "GPU: this machine has no NVIDIA GPU");
  return count;
}

namespace detail {

/// Throws error for a precision that GPUs don't have.
inline precision usable_precision(precision products) {
  expects(products != precision::int8, "GPU: products in int8 are a CPU's; expected fp32, tf32 or bf16");
  return products;
}

/// Checks that `device` exists and is usable, and returns it. Throws error with one line on what is missing.
inline int usable_device(int device) {
  int const count = device_count();
  expects(device >= 0 && device < count, "GPU: device ", device, ", but there are ", count, ", counted from 0");
  return device;
}

struct destroy_stream {
  void operator()(cudaStream_t stream) const noexcept {
    cudaStreamDestroy(stream);
  }  // takes effect when the stream's work is done
};
struct destroy_handle {
  void operator()(cublasLtHandle_t handle) const noexcept { cublasLtDestroy(handle); }
};
struct free_memory {
  void operator()(void* memory) const noexcept { cudaFree(memory); }
};

/// While it exists, the calling thread's current device is the one that holds this memory. Each device has its own
/// streams, including its own legacy stream.
class on_device_of {
 public:
  explicit on_device_of(void const* memory) {
    cudaPointerAttributes place{};
    check(cudaPointerGetAttributes(&place, memory), "cudaPointerGetAttributes");
    check(cudaGetDevice(&before_), "cudaGetDevice");
    here_ = place.device;
    if (here_ != before_) check(cudaSetDevice(here_), "cudaSetDevice");
  }
  on_device_of(on_device_of const&) = delete;
  on_device_of& operator=(on_device_of const&) = delete;
  ~on_device_of() {
    if (here_ != before_) cudaSetDevice(before_);
  }

 private:
  int before_ = 0, here_ = 0;
};

/// Lock for the legacy stream, on which memory is cleared and copied when no backend is involved. While one thread
/// captures a stream, CUDA allows no other thread to use the legacy stream: the capturing thread holds the lock
/// exclusively.
inline std::shared_mutex& legacy_stream() {
  static std::shared_mutex one;
  return one;
}
/// Whether this thread is capturing.
inline bool& is_capturing() {
  thread_local bool yes = false;
  return yes;
}
inline std::shared_lock<std::shared_mutex> use_legacy_stream() {
  expects(!is_capturing(), "CUDA: work that is captured neither allocates nor copies from or to the host");
  return std::shared_lock(legacy_stream());
}

}  // namespace detail

/// The Thrust system of NVIDIA's GPUs.
struct cuda {
  /// The options of a backend.
  using options = cuda_options;

  /// A backend's resources on a device: its stream, the cuBLASLt handle and workspace, and pinned memory for uploads.
  class context {
   public:
    /// Opens the device. Throws error if there is no such device or its driver isn't usable.
    explicit context(options const& how) : options_(how) {
      options_.products = detail::usable_precision(how.products);
      options_.device = detail::usable_device(how.device);
      make_current();
      cudaStream_t stream = nullptr;
      detail::check(cudaStreamCreate(&stream), "cudaStreamCreate");
      stream_.reset(stream);
      cublasLtHandle_t handle = nullptr;
      detail::check(cublasLtCreate(&handle), "cublasLtCreate");
      handle_.reset(handle);
      workspace_.reset(allocate(how.workspace));
    }

    context(context&&) = default;
    /// Waits for the target's stream before its pinned memory is freed.
    context& operator=(context&& from) noexcept {
      if (this != &from) {
        std::destroy_at(this);
        std::construct_at(this, std::move(from));
      }
      return *this;
    }
    ~context() {
      if (stream_) cudaStreamSynchronize(stream_.get());  // it may still read the pinned memory
    }

    /// The options that the context was opened with.
    options const& how() const { return options_; }
    /// The stream. Also makes its device current for the calling thread.
    cudaStream_t stream() const {
      make_current();
      return stream_.get();
    }
    /// The cuBLASLt handle.
    cublasLtHandle_t handle() const { return handle_.get(); }
    /// The cuBLASLt workspace, of how().workspace bytes.
    void* workspace() const { return workspace_.get(); }
    /// The cuBLASLt algorithms chosen so far, by shape.
    detail::product_plans& plans() { return plans_; }
    /// Pinned host memory through which uploads are copied.
    detail::pinned_ring& staging() { return staging_; }
    /// Makes the device current for the calling thread.
    void make_current() const { detail::check(cudaSetDevice(options_.device), "cudaSetDevice"); }
    /// Waits for the stream. Throws error if some of its work failed; the message contains the name of the last graph.
    void synchronize() const {
      auto const status = cudaStreamSynchronize(stream());
      if (status != cudaSuccess)
        detail::check(status, started_ ? (std::string("cudaStreamSynchronize after ") + started_).c_str()
                                       : "cudaStreamSynchronize");
      started_ = nullptr;
    }
    /// Remembers the name of the graph that was launched last: its errors appear at the next synchronization.
    void started(char const* name) { started_ = name; }
    /// Whether work is being captured. Uploads and downloads throw meanwhile.
    bool is_capturing() const { return is_capturing_; }
    /// Marks the beginning and the end of a capture by this thread.
    void set_capturing(bool is) { is_capturing_ = detail::is_capturing() = is; }

   private:
    options options_;
    std::unique_ptr<std::remove_pointer_t<cudaStream_t>, detail::destroy_stream> stream_;
    std::unique_ptr<std::remove_pointer_t<cublasLtHandle_t>, detail::destroy_handle> handle_;
    std::unique_ptr<void, detail::free_memory> workspace_;
    detail::product_plans plans_;
    detail::pinned_ring staging_;
    mutable char const* started_ = nullptr;
    bool is_capturing_ = false;
  };

  /// Makes the device current for the calling thread. Allocations and kernel launches use the current device.
  static void enter(context const& c) { c.make_current(); }

  // The following run on the legacy stream of the memory's device. It is named explicitly, because the default stream
  // may be another one (nvcc --default-stream per-thread). The legacy stream and the streams of that device's backends,
  // which cudaStreamCreate makes, wait for each other.
  /// Uninitialized memory of the current device. Throws error, with the sizes, when there isn't enough.
  static void* allocate(std::size_t bytes) {
    void* memory = nullptr;
    auto const status = cudaMalloc(&memory, bytes);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      std::size_t free = 0, all = 0;
      cudaMemGetInfo(&free, &all);
      raise<device_error>("GPU memory: ", detail::in_gib(bytes), " requested, ", detail::in_gib(free), " of ",
                          detail::in_gib(all), " free; try a smaller batch");
    }
    detail::check(status, "cudaMalloc");
    return memory;
  }
  /// Frees memory of any device.
  static void deallocate(void* memory) noexcept { cudaFree(memory); }
  /// Sets bytes to zero. May return before that is done; later work of all backends of the device waits for it.
  static void clear(void* memory, std::size_t bytes) {
    auto const lock = detail::use_legacy_stream();
    detail::on_device_of const here(memory);
    detail::check(cudaMemsetAsync(memory, 0, bytes, cudaStreamLegacy), "cudaMemsetAsync");
  }
  /// Copies from host memory to a device, and waits until the copy is complete.
  static void copy_from_host(void const* from, void* to, std::size_t bytes) {
    copy_at_once(from, to, bytes, cudaMemcpyHostToDevice, to);
  }
  /// Copies from a device to host memory, and waits.
  static void copy_to_host(void const* from, void* to, std::size_t bytes) {
    copy_at_once(from, to, bytes, cudaMemcpyDeviceToHost, from);
  }
  /// Copies between two places of a device's memory, and waits.
  static void copy_within(void const* from, void* to, std::size_t bytes) {
    copy_at_once(from, to, bytes, cudaMemcpyDeviceToDevice, from);
  }

  /// Copies through pinned memory in the order of the stream, and returns without waiting for the copy; `from` may
  /// change as soon as the call returns.
  static void upload(context& c, void const* from, void* to, std::size_t bytes) {
    expects(!c.is_capturing(), "upload: captured work can't receive new values from the host");
    auto const stream = c.stream();
    for (std::size_t done = 0; done < bytes;) {
      auto const piece = c.staging().take(stream, bytes - done);
      std::memcpy(piece.data(), static_cast<std::byte const*>(from) + done, piece.size());
      detail::check(cudaMemcpyAsync(static_cast<std::byte*>(to) + done, piece.data(), piece.size(),
                                    cudaMemcpyHostToDevice, stream),
                    "cudaMemcpyAsync to the device");
      done += piece.size();
    }
  }
  /// Copies in the order of the stream and waits.
  static void download(context const& c, void const* from, void* to, std::size_t bytes) {
    expects(!c.is_capturing(), "download: the host can't wait for work that is only captured");
    detail::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, c.stream()), "cudaMemcpyAsync to the host");
    c.synchronize();
  }

  /// Pinned host memory that the host fills and the device reads; see upload_buffer.hpp.
  using upload_memory = detail::upload_memory;

  /// The Thrust policy of the context's stream, which doesn't wait after each algorithm.
  static auto policy(context const& c) { return thrust::cuda::par_nosync.on(c.stream()); }

  /// Launches a kernel of thread groups on the context's stream.
  template <class Kernel>
  static void run_groups(context const& c, index_t groups, Kernel const& kernel) {
    detail::launch_groups(c.stream(), groups, kernel);
  }
  /// Launches a kernel whose thread groups wait for each other after each step.
  template <class Kernel>
  static void run_groups_in_steps(context const& c, index_t groups, index_t steps, Kernel const& kernel) {
    detail::launch_groups_in_steps(c.stream(), c.how().device, groups, steps, kernel);
  }

 private:
  static void copy_at_once(void const* from, void* to, std::size_t bytes, cudaMemcpyKind kind, void const* on_device) {
    auto const lock = detail::use_legacy_stream();
    detail::on_device_of const here(on_device);
    detail::check(cudaMemcpyAsync(to, from, bytes, kind, cudaStreamLegacy), "cudaMemcpyAsync");
    detail::check(cudaStreamSynchronize(cudaStreamLegacy), "cudaStreamSynchronize after a copy");
  }
};

}  // namespace mql4grec::gpu
