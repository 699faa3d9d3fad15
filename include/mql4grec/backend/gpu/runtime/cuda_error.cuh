#pragma once
#include <cuda_runtime.h>

#include "mql4grec/core/error.hpp"

namespace mql4grec::gpu::detail {

/// Throws error with the call's name and CUDA's words for what went wrong.
inline void check(cudaError_t status, char const* call) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // what isn't sticky is over with this report
  mql4grec::detail::raise("CUDA: ", call, ": ", cudaGetErrorString(status), " (", cudaGetErrorName(status), ")");
}

/// "1.5 GiB"
inline std::string in_gib(std::size_t bytes) {
  std::string text = std::to_string(static_cast<double>(bytes) / (1 << 30));
  return text.substr(0, text.find('.') + 3) + " GiB";
}

}  // namespace mql4grec::gpu::detail
