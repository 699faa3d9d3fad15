#define DOCTEST_CONFIG_IMPLEMENT
#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <cstdio>

// 77 is ctest's SKIP_RETURN_CODE: without a GPU nothing was tested.
int main(int count, char** arguments) {
  int devices = 0;
  auto const status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess || devices == 0) {
    std::printf("skipped: no NVIDIA GPU (%s)\n", status == cudaSuccess ? "none found" : cudaGetErrorString(status));
    return 77;
  }
  return doctest::Context(count, arguments).run();
}
