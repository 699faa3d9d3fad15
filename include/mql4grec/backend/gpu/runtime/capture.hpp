#pragma once
// Work of a system that is the host's, captured as on a GPU: every kernel with the arguments it had then. Replayed, it
// reads what its places in memory hold by then. So what can't be repeated is found where there is no GPU.
#include <functional>
#include <utility>
#include <vector>

#include "mql4grec/backend/gpu/runtime/backend.hpp"

namespace mql4grec::gpu {

template <HostSystem System>
class graph {
 public:
  explicit graph(std::vector<std::function<void()>> work) : work_(std::move(work)) {}
  void launch(backend<System>& b) const {
    b.scratch().lend_rest([&] {
      for (auto const& task : work_) task();
    });
  }

 private:
  std::vector<std::function<void()>> work_;
};

// What work() asks of the backend, without doing it. `name` is for errors.
template <HostSystem System, class Work>
graph<System> capture(backend<System>& b, char const*, Work&& work) {
  std::vector<std::function<void()>> list;
  struct capturer {
    backend<System>& b;
    ~capturer() {
      b.context().graph = nullptr;
      detail::is_capturing() = false;
    }
  } const until_here{b};
  b.context().graph = &list;
  detail::is_capturing() = true;
  work();
  return graph<System>(std::move(list));
}

}  // namespace mql4grec::gpu
