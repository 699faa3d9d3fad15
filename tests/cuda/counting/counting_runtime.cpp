// In place of the CUDA runtime and cuBLASLt, where there is no GPU: memory is the host's, kernels and products are
// counted and not run, and what CUDA would refuse is written down: waiting, allocating or copying while a stream is
// captured, launches that every GPU rejects, copies beyond an allocation. So it is known without a device how often the
// host steps in, and that what is captured can be.
#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <utility>

#include "cuda/counting/counts.hpp"

namespace {

using mql4grec::test::cuda_counts;

// Bytes a block: those of the GPUs with the fewest, of compute capability 8.6 and 8.9; an H100 has 227 KiB.
constexpr std::size_t shared_without_asking = 48 << 10, shared_at_most = 99 << 10;
constexpr int multiprocessors = 132, blocks_at_once = 2;  // the latter of each multiprocessor, whatever the kernel

struct runtime {
  cuda_counts counts;
  bool capturing = false;
  std::map<void const*, std::string> kernel_names;
  std::map<void const*, std::size_t> shared_allowed;  // of kernels that opted in to more than the default
  std::map<char const*, std::size_t> device_memory;
  std::set<std::string> seen;
  std::vector<cudaLaunchConfig_t> configurations;

  void complain(std::string const& what) { counts.wrong.push_back(what); }
  void not_while_capturing(char const* call) {
    if (capturing) complain(std::string(call) + " while a stream is captured");
  }
  void expect_named_stream(cudaStream_t stream, char const* call) {
    if (stream == nullptr || stream == cudaStreamPerThread)
      complain(std::string(call) + " on the default stream, which a compiler's option chooses");
    if (stream == cudaStreamLegacy) not_while_capturing(call);
  }
  void launch(void const* kernel, dim3 grid, dim3 block, std::size_t shared) {
    auto const known = kernel_names.find(kernel);
    auto const name = known == kernel_names.end() ? "an unregistered kernel" : known->second;
    auto const allowed = shared_allowed.contains(kernel) ? shared_allowed[kernel] : shared_without_asking;
    if (known == kernel_names.end() || grid.x == 0 || grid.x > 0x7fffffffu || block.x == 0 || block.x > 1024 ||
        shared > allowed)
      complain("launch of " + name + ": " + std::to_string(grid.x) + " blocks of " + std::to_string(block.x) +
               " threads, " + std::to_string(shared) + " bytes shared");
    seen.insert(name);
    ++(capturing ? counts.captured_kernels : counts.kernels);
  }
  void expect_inside(void const* place, std::size_t bytes, char const* call) {
    auto const at = static_cast<char const*>(place);
    auto const after = device_memory.upper_bound(at);
    if (after == device_memory.begin()) return complain(std::string(call) + " of memory that isn't the device's");
    auto const& [begin, size] = *std::prev(after);
    if (at + bytes > begin + size) complain(std::string(call) + " beyond the end of an allocation");
  }
  void copy(void* to, void const* from, std::size_t bytes, cudaMemcpyKind kind, char const* call) {
    if (kind != cudaMemcpyDeviceToHost) expect_inside(to, bytes, call);
    if (kind != cudaMemcpyHostToDevice) expect_inside(from, bytes, call);
    std::memmove(to, from, bytes);
  }
};
runtime& state() {
  static auto* const one = new runtime;  // kernels register before main and exist after it
  return *one;
}

template <class Handle>
void make(Handle* handle) {
  *handle = static_cast<Handle>(std::malloc(1));
}

}  // namespace

namespace mql4grec::test {
cuda_counts take_counts() { return std::exchange(state().counts, {}); }
std::set<std::string> const& kernels_seen() { return state().seen; }
}  // namespace mql4grec::test

extern "C" {

// ---- what nvcc's own code calls -------------------------------------------------------------------------------------
void** __cudaRegisterFatBinary(void*) {
  static void* handle = nullptr;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) { return 0; }
void __cudaRegisterFunction(void**, char const* kernel, char*, char const* name, int, void*, void*, void*, void*,
                            int*) {
  state().kernel_names[kernel] = name;
}
void __cudaRegisterVar(void**, char*, char*, char const*, int, std::size_t, int, int) {}
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream) {
  cudaLaunchConfig_t how{};
  how.gridDim = grid, how.blockDim = block, how.dynamicSmemBytes = shared, how.stream = stream;
  state().configurations.push_back(how);
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared, void* stream) {
  auto const how = state().configurations.back();
  state().configurations.pop_back();
  *grid = how.gridDim, *block = how.blockDim, *shared = how.dynamicSmemBytes;
  std::memcpy(stream, &how.stream, sizeof how.stream);
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, void const* function) {
  *kernel = static_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void**, std::size_t shared, cudaStream_t) {
  state().launch(kernel, grid, block, shared);
  return cudaSuccess;
}
cudaError_t cudaLaunchKernel(void const* kernel, dim3 grid, dim3 block, void**, std::size_t shared, cudaStream_t) {
  state().launch(kernel, grid, block, shared);
  return cudaSuccess;
}
cudaError_t cudaLaunchKernelExC(cudaLaunchConfig_t const* how, void const* kernel, void**) {
  for (unsigned i = 0; i < how->numAttrs; ++i)
    if (how->attrs[i].id == cudaLaunchAttributeCooperative && how->gridDim.x > multiprocessors * blocks_at_once)
      state().complain("a launch of blocks that wait for each other, more than run at the same time");
  state().launch(kernel, how->gridDim, how->blockDim, how->dynamicSmemBytes);
  return cudaSuccess;
}

// ---- devices and kernels --------------------------------------------------------------------------------------------
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr what, int) {
  *value = what == cudaDevAttrComputeCapabilityMajor ? 9
           : what == cudaDevAttrMultiProcessorCount  ? multiprocessors
                                                     : 1024;
  return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* what, void const*) {
  *what = {};
  what->binaryVersion = what->ptxVersion = 90;
  what->maxThreadsPerBlock = 1024;
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(void const* kernel, cudaFuncAttribute, int bytes) {
  if (static_cast<std::size_t>(bytes) > shared_at_most)
    state().complain("a kernel requests " + std::to_string(bytes) + " bytes of shared memory");
  state().shared_allowed[kernel] = static_cast<std::size_t>(bytes);
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, void const*, int, std::size_t,
                                                                   unsigned) {
  *blocks = blocks_at_once;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaPeekAtLastError() { return cudaSuccess; }
char const* cudaGetErrorName(cudaError_t) { return "no error"; }
char const* cudaGetErrorString(cudaError_t) { return "no error"; }

// ---- memory ---------------------------------------------------------------------------------------------------------
cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  state().not_while_capturing("cudaMalloc");
  *memory = std::calloc(bytes, 1);
  state().device_memory[static_cast<char*>(*memory)] = bytes;
  ++state().counts.allocations;
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  if (!memory) return cudaSuccess;
  state().not_while_capturing("cudaFree");
  if (state().device_memory.erase(static_cast<char*>(memory)) == 0)
    state().complain("cudaFree of memory that isn't the device's");
  ++state().counts.allocations;
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  *memory = std::malloc(bytes);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* all) {
  *free = *all = std::size_t{80} << 30;
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* what, void const* memory) {
  state().expect_inside(memory, 1, "cudaPointerGetAttributes");
  *what = {};
  what->type = cudaMemoryTypeDevice;
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream) {
  state().expect_named_stream(stream, "cudaMemsetAsync");
  state().expect_inside(memory, bytes, "cudaMemsetAsync");
  std::memset(memory, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, void const* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  state().expect_named_stream(stream, "cudaMemcpyAsync");
  if (kind != cudaMemcpyDeviceToDevice) state().not_while_capturing("cudaMemcpyAsync from or to the host");
  if (kind == cudaMemcpyHostToDevice && stream != cudaStreamLegacy) ++state().counts.uploads;
  state().copy(to, from, bytes, kind, "cudaMemcpyAsync");
  return cudaSuccess;
}

// ---- streams, events, graphs ----------------------------------------------------------------------------------------
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  make(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  make(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  std::free(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  state().not_while_capturing("cudaStreamSynchronize");
  ++state().counts.waits;
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  make(event);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  std::free(event);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) {
  state().not_while_capturing("cudaEventSynchronize");
  ++state().counts.waits;
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
  state().not_while_capturing("cudaStreamBeginCapture");
  state().capturing = true;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  if (!state().capturing) state().complain("cudaStreamEndCapture of a stream that isn't captured");
  state().capturing = false;
  make(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* runnable, cudaGraph_t, unsigned long long) {
  make(runnable);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  std::free(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t runnable) {
  std::free(runnable);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t) {
  state().not_while_capturing("cudaGraphLaunch");
  ++state().counts.graphs;
  return cudaSuccess;
}

// ---- cuBLASLt -------------------------------------------------------------------------------------------------------
cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  make(handle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  std::free(handle);
  return CUBLAS_STATUS_SUCCESS;
}
char const* cublasLtGetStatusString(cublasStatus_t) { return "no error"; }
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t, void const*, void const*, cublasLtMatrixLayout_t,
                              void const*, cublasLtMatrixLayout_t, void const*, void const*, cublasLtMatrixLayout_t,
                              void*, cublasLtMatrixLayout_t, cublasLtMatmulAlgo_t const*, void*, std::size_t,
                              cudaStream_t) {
  ++(state().capturing ? state().counts.captured_products : state().counts.products);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t, int, cublasLtMatmulHeuristicResult_t*,
                                              int* found) {
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* what, cublasComputeType_t, cudaDataType_t) {
  make(what);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t what) {
  std::free(what);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t, cublasLtMatmulDescAttributes_t, void const*,
                                              std::size_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* what) {
  make(what);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t what) {
  std::free(what);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t,
                                                    void const*, std::size_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType, std::uint64_t, std::uint64_t,
                                          std::int64_t) {
  make(layout);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t, cublasLtMatrixLayoutAttribute_t, void const*,
                                                std::size_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  std::free(layout);
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
