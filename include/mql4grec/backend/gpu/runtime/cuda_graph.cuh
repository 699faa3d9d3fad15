#pragma once
// CUDA graphs: capture and launch. The preconditions are those of graph_cache (backend/contract/graph_cache.hpp).
#include <memory>
#include <mutex>
#include <utility>

#include "mql4grec/backend/gpu/runtime/backend.hpp"
#include "mql4grec/backend/gpu/runtime/cuda_system.cuh"

namespace mql4grec::gpu {

/// An instantiated CUDA graph.
class cuda_graph {
 public:
  /// Instantiates `graph`, which may be destroyed afterwards. `name` is for errors and must outlive this object.
  cuda_graph(cudaGraph_t graph, char const* name) : name_(name) {
    cudaGraphExec_t made = nullptr;
    check(cudaGraphInstantiate(&made, graph, 0), "cudaGraphInstantiate");
    graph_.reset(made);
  }

  /// Starts the graph on the backend's stream and returns without waiting.
  void launch(backend<cuda>& b) const {
    expects(!b.context().is_capturing(), "launch: work that is captured can't launch a graph");
    check(cudaGraphLaunch(graph_.get(), b.context().stream()), "cudaGraphLaunch");
    b.context().started(name_);
  }

 private:
  struct destroy {
    void operator()(cudaGraphExec_t graph) const noexcept { cudaGraphExecDestroy(graph); }
  };
  void check(cudaError_t status, char const* call) const {
    if (status != cudaSuccess) detail::check(status, (std::string(call) + " of " + name_).c_str());
  }

  char const* name_;
  std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, destroy> graph_;
};

/// Captures the operations that work() submits to the backend's stream, without executing them. `name` is for errors.
/// Holds the lock on the legacy stream meanwhile, so allocations, and copies that wait, of other threads wait for the
/// end of the capture. Throws error when the work cannot be captured.
template <class Work>
cuda_graph capture(backend<cuda>& b, char const* name, Work&& work) {
  struct destroy {
    void operator()(cudaGraph_t graph) const noexcept { cudaGraphDestroy(graph); }
  };
  auto& context = b.context();
  expects(!context.is_capturing(), "capture: work that is captured can't capture other work");
  auto const stream = context.stream();
  std::unique_lock const alone(detail::legacy_stream());
  // relaxed mode: calls of other threads on their own streams must not invalidate the capture
  detail::check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
  std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, destroy> graph;
  auto const end = [&] {
    cudaGraph_t made = nullptr;
    context.set_capturing(false);
    auto const status = cudaStreamEndCapture(stream, &made);
    graph.reset(made);
    return status;
  };
  context.set_capturing(true);
  try {
    work();
  } catch (...) {
    end();
    cudaGetLastError();
    throw;
  }
  detail::check(end(), (std::string("cudaStreamEndCapture of ") + name).c_str());
  return cuda_graph(graph.get(), name);
}

}  // namespace mql4grec::gpu
