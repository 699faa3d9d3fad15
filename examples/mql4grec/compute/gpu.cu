// The interface `compute` on an NVIDIA GPU.
#include "mql4grec/gpu.cuh"

#include "compute/on_backend.hpp"

namespace mql4grec::program {

namespace {
/// The number of this process's GPU. Throws error when there is no GPU, or no --device.
int device_of(compute_options const& options) {
  int const devices = gpu::device_count();
  expects(options.device < devices, "--device ", options.device, ": this machine has ", devices,
          devices == 1 ? " GPU" : " GPUs", ", the first of which is 0");
  return static_cast<int>((options.device + options.rank_on_host) % devices);
}
}  // namespace

std::unique_ptr<compute> open_gpu_compute(compute_options const& options) {
  using device = gpu::backend<gpu::cuda>;
  int const number = device_of(options);
  device::options const requested{.device = number, .products = options.products};
  device::options const exact{.device = number, .products = precision::fp32};
  device const checked(exact);  // throws now, before any input is read, when there is no GPU
  // A GPU computes a whole batch at once where a core's cache holds a block of it. The limit on the rows of a search
  // keeps the logits and caches of wide beams within the memory.
  return std::make_unique<on_backend<device>>(backend_setup<device>{.learning = requested,
                                                                    .translating = exact,
                                                                    .recommending = requested,
                                                                    .block_tokens = 1 << 17,
                                                                    .block_queries = 1024,
                                                                    .block_rows = 1 << 15});
}

}  // namespace mql4grec::program
