#pragma once
// The reference backend: plain loops over any Field. It is the executable specification and stays for ever; every other
// backend must compute the same.
#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/transfer.hpp"

namespace mql4grec::reference {

/// A backend with a single worker, the calling thread. Not thread-safe.
class backend {
 public:
  /// The memory space: the host's.
  using memory_space = host_space;
  static constexpr char const* name = "reference";  ///< for error messages and reports
  /// How many small products of one shape are worth a batch. Loops gain nothing from any.
  static constexpr index_t products_at_once = 1;
  /// There are none; present for a uniform interface.
  struct options {
    bool operator==(options const&) const = default;
  };

  /// A backend without any memory in use.
  explicit backend(options = {}) {}

  /// n zeros.
  template <class T>
  buffer<T, host_space> allocate(index_t n) {
    return buffer<T, host_space>(n);
  }
  /// Scratch memory for temporaries; see arena for its lifetime rules.
  host_arena& scratch() { return scratch_; }
  /// Always 1.
  index_t workers() const { return 1; }
  /// This backend.
  backend& worker(index_t) { return *this; }
  /// Does nothing: operations are complete when they return.
  void synchronize() {}
  /// The options of a further backend.
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
