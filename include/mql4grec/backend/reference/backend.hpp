#pragma once
// Plain loops over any Field, kept for ever: the executable specification. Every other backend must equal it.
#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/copy.hpp"

namespace mql4grec::reference {

class backend {
 public:
  using memory_space = host_space;
  static constexpr char const* name = "reference";
  struct options {
    bool operator==(options const&) const = default;
  };

  explicit backend(options = {}) {}

  template <class T>
  buffer<T, host_space> allocate(index_t n) {
    return buffer<T, host_space>(n);
  }
  host_arena& scratch() { return scratch_; }
  index_t workers() const { return 1; }
  backend& worker(index_t) { return *this; }
  void synchronize() {}
  options worker_options() const { return {}; }

 private:
  host_arena scratch_;
};

/// Calls task(worker, number) once for each worker.
template <class Task>
void for_each_worker(backend& b, Task&& task) {
  task(b, index_t{0});
}

}  // namespace mql4grec::reference
