// The interface `compute` on a GPU, in a build that has no GPU backend: an error.
#include "compute/compute.hpp"

namespace mql4grec::program {

std::unique_ptr<compute> open_gpu_compute(compute_options const&) {
  raise("--backend gpu: this build has no GPU backend, expected cpu; `cmake --preset gpu` configures one that has");
}

}  // namespace mql4grec::program
