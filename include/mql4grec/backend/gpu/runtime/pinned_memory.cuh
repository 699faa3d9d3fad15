#pragma once
// Pinned (page-locked) host memory for asynchronous uploads. The device may still read it after an upload returns:
// events guard its reuse.
#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>

#include "mql4grec/backend/gpu/runtime/cuda_error.cuh"

namespace mql4grec::gpu::detail {

struct free_pinned {
  void operator()(std::byte* memory) const noexcept { cudaFreeHost(memory); }
};
using pinned_memory = std::unique_ptr<std::byte, free_pinned>;

inline pinned_memory pinned(std::size_t bytes) {
  void* memory = nullptr;
  if (bytes > 0) check(cudaMallocHost(&memory, bytes), "cudaMallocHost");
  return pinned_memory(static_cast<std::byte*>(memory));
}

/// Waits for the work that the event was recorded after, then destroys the event. As a member it must be declared after
/// the memory that this work reads, so that it is destroyed first.
struct destroy_event {
  void operator()(cudaEvent_t event) const noexcept {
    cudaEventSynchronize(event);
    cudaEventDestroy(event);
  }
};
using owned_event = std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, destroy_event>;

inline owned_event new_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreate");
  return owned_event(event);
}

/// Pinned host memory in two halves: the host fills one while the device reads the other.
///
///   take ... take     the host fills half 0; copies from it are enqueued on the stream
///   half 0 is full    an event is recorded after its copies; half 1 is next
///   take ... take     the host fills half 1, while the device may still read half 0
///   half 1 is full    the host waits for half 0's event and fills half 0 again
class pinned_ring {
 public:
  /// Up to `wanted` bytes that no pending copy reads; fewer when the current half is nearly full. All calls must use
  /// the same stream.
  std::span<std::byte> take(cudaStream_t stream, std::size_t wanted) {
    if (!memory_) open();
    if (used_ == half) turn(stream);
    std::size_t const bytes = std::min(wanted, half - used_);
    std::byte* const place = memory_.get() + (second_ ? half : 0) + used_;
    used_ = std::min(half, used_ + (bytes + 15) / 16 * 16);
    return {place, bytes};
  }

 private:
  static constexpr std::size_t half = std::size_t{8} << 20;

  void open() {
    memory_ = pinned(2 * half);
    for (auto& event : read_) event = new_event();
  }
  void turn(cudaStream_t stream) {
    check(cudaEventRecord(read_[second_].get(), stream), "cudaEventRecord");
    second_ = !second_;
    check(cudaEventSynchronize(read_[second_].get()), "cudaEventSynchronize");  // returns immediately the first time
    used_ = 0;
  }

  pinned_memory memory_;
  owned_event read_[2];
  std::size_t used_ = 0;
  bool second_ = false;
};

/// Pinned memory that any host thread fills and that the device then reads directly; see upload_buffer.hpp.
class upload_memory {
 public:
  template <class Context>
  upload_memory(Context const& c, std::size_t bytes) {
    c.make_current();
    memory_ = pinned(bytes);
    read_ = new_event();
  }
  upload_memory(upload_memory&&) = default;  // no assignment: it would free memory before the event of its last upload

  std::byte* data() { return memory_.get(); }
  template <class Context>
  void upload(Context const& c, void* to, std::size_t bytes) {
    expects(!c.is_capturing(), "upload: captured work can't receive new values from the host");
    auto const stream = c.stream();
    check(cudaMemcpyAsync(to, memory_.get(), bytes, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync to the device");
    check(cudaEventRecord(read_.get(), stream), "cudaEventRecord");
  }
  /// Waits until the device has read everything that was uploaded.
  void wait() { check(cudaEventSynchronize(read_.get()), "cudaEventSynchronize"); }

 private:
  pinned_memory memory_;
  owned_event read_;
};

}  // namespace mql4grec::gpu::detail
