#pragma once
// Error checks of the CUDA runtime.
#include <cuda_runtime.h>

#include "mql4grec/core/error.hpp"

namespace mql4grec::gpu::detail {

/// Throws device_error with the name of the call and CUDA's description of the failure.
inline void check(cudaError_t status, char const* call) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clears errors that aren't sticky
  raise<device_error>("CUDA: ", call, ": ", cudaGetErrorString(status), " (", cudaGetErrorName(status), ")");
}

/// "1.5 GiB"
inline std::string in_gib(std::size_t bytes) {
  std::string text = std::to_string(static_cast<double>(bytes) / (1 << 30));
  return text.substr(0, text.find('.') + 3) + " GiB";
}

}  // namespace mql4grec::gpu::detail
