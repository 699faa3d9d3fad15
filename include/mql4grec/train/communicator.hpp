#pragma once
// Data parallelism: several processes train one model. Each computes some micro-batches of every batch; all_reduce sums
// the flat gradients. Every process must make the same calls in the same order, otherwise the processes wait forever.
#include <concepts>
#include <span>

#include "mql4grec/backend/contract/concepts.hpp"

namespace mql4grec::train {

/// The connection between the processes that train one model, with the terms of MPI. all_reduce replaces the values by
/// their sum over all processes: for vectors in the backend's memory in the order of the backend's work, and for a few
/// numbers on the host.
template <class C, class B, class T>
concept Communicator = Backend<B> &&
    requires(C& communicator, B& b, out_vector<B, T> values, out_vector<B, double> sums, std::span<double> numbers) {
  { communicator.rank() } -> std::same_as<index_t>;        // this process' number, from 0
  { communicator.world_size() } -> std::same_as<index_t>;  // number of processes
  communicator.all_reduce(b, values);
  communicator.all_reduce(b, sums);
  communicator.all_reduce(b, numbers);
};

/// A single process: every sum is its own value.
struct single_process {
  /// 0.
  index_t rank() const { return 0; }
  /// 1.
  index_t world_size() const { return 1; }
  /// Does nothing.
  template <class B, class Values>
  void all_reduce(B&, Values) const {}
};

}  // namespace mql4grec::train
