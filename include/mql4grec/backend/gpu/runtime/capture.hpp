#pragma once
// Graph capture for systems whose memory is the host's, with the semantics of CUDA graphs: each kernel is recorded with
// its arguments, and a launch reads the current contents of memory. It makes violations of graph_cache's preconditions
// testable without a GPU.
#include <functional>
#include <utility>
#include <vector>

#include "mql4grec/backend/gpu/runtime/backend.hpp"

namespace mql4grec::gpu {

/// Captured work of a host system.
template <HostSystem System>
class graph {
 public:
  /// Constructed by capture().
  explicit graph(std::vector<std::function<void()>> work) : work_(std::move(work)) {}
  /// Executes the captured work in order, with the recorded arguments. Throws error while work is captured.
  void launch(backend<System>& b) const {
    expects(!b.context().graph, "launch: work that is captured can't launch a graph");
    b.scratch().with_rest_accessible([&] {
      for (auto const& task : work_) task();
    });
  }

 private:
  std::vector<std::function<void()>> work_;
};

/// Records the operations that work() submits to the backend, without executing them. Throws error while other work is
/// captured. The name is used by other systems
/// only.
template <HostSystem System, class Work>
graph<System> capture(backend<System>& b, char const*, Work&& work) {
  expects(!b.context().graph, "capture: work that is captured can't capture other work");
  std::vector<std::function<void()>> list;
  struct capturer {
    backend<System>& b;
    ~capturer() {
      b.context().graph = nullptr;
      detail::host_is_capturing() = false;
    }
  } const until_here{b};
  b.context().graph = &list;
  detail::host_is_capturing() = true;
  work();
  return graph<System>(std::move(list));
}

}  // namespace mql4grec::gpu
