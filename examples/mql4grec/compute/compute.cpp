// The choice of a backend from the command line.
#include "compute/compute.hpp"

#include "commands/options.hpp"

namespace mql4grec::program {

namespace {

bool on_gpu(common_options const& options) { return options.backend == "gpu"; }

/// The format to which matrix products round their factors.
precision precision_of(common_options const& options) {
  if (options.precision.empty()) return on_gpu(options) ? precision::tf32 : precision::fp32;
  return options.precision == "bf16"   ? precision::bf16
         : options.precision == "tf32" ? precision::tf32
         : options.precision == "int8" ? precision::int8
                                       : precision::fp32;
}

}  // namespace

std::unique_ptr<compute> open_compute(common_options const& options) {
  compute_options const how{.products = precision_of(options),
                            .threads = options.threads,
                            .device = options.device,
                            .rank_on_host = options.rank_on_host};
  expects(!on_gpu(options) || how.products != precision::int8,
          "--precision int8: only CPUs have it; expected fp32, tf32 or bf16");
  return on_gpu(options) ? open_gpu_compute(how) : open_cpu_compute(how);
}

}  // namespace mql4grec::program
