#pragma once
#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>

#include "mql4grec/backend/gpu/cuda/error.cuh"

namespace mql4grec::gpu::detail {

/// Pinned host memory in two halves: while the device still reads one, the host fills the other.
class pinned_ring {
 public:
  /// Room for up to `wanted` bytes, which nobody reads any more; fewer when the half is nearly full.
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
  struct free_pinned {
    void operator()(std::byte* memory) const noexcept { cudaFreeHost(memory); }
  };
  struct destroy_event {
    void operator()(cudaEvent_t event) const noexcept { cudaEventDestroy(event); }
  };
  using owned_event = std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, destroy_event>;

  void open() {
    void* memory = nullptr;
    check(cudaMallocHost(&memory, 2 * half), "cudaMallocHost");
    memory_.reset(static_cast<std::byte*>(memory));
    for (auto& event : read_) {
      cudaEvent_t made = nullptr;
      check(cudaEventCreateWithFlags(&made, cudaEventDisableTiming), "cudaEventCreate");
      event.reset(made);
    }
  }
  void turn(cudaStream_t stream) {
    check(cudaEventRecord(read_[second_].get(), stream), "cudaEventRecord");
    second_ = !second_;
    check(cudaEventSynchronize(read_[second_].get()), "cudaEventSynchronize");  // done at once the first time
    used_ = 0;
  }

  std::unique_ptr<std::byte, free_pinned> memory_;
  owned_event read_[2];
  std::size_t used_ = 0;
  bool second_ = false;
};

}  // namespace mql4grec::gpu::detail
