#pragma once
// The calls to CUDA that the library made while counting_runtime.cpp replaced the runtime.
#include <set>
#include <string>
#include <vector>

namespace mql4grec::test {

struct cuda_counts {
  long kernels = 0, products = 0;                    ///< started by the host, one by one
  long captured_kernels = 0, captured_products = 0;  ///< that became part of a graph
  long graphs = 0;                                   ///< started, each with one call
  long uploads = 0;                                  ///< asynchronous copies to the device
  long waits = 0;                                    ///< for the device
  long allocations = 0;                              ///< of device memory, and its return
  std::vector<std::string> wrong;                    ///< what CUDA would have refused
};

/// Since the last call.
cuda_counts take_counts();

/// The kernels that were started or captured since the start, by name.
std::set<std::string> const& kernels_seen();

}  // namespace mql4grec::test
