#pragma once
// Several processes, one training: each computes some ranges of every batch, and one call adds the flat gradients up.
#include <concepts>
#include <span>

#include "mql4grec/backend/contract/concepts.hpp"

namespace mql4grec::train {

/// Who else trains the same model. Every process calls the same members in the same order.
template <class C, class B, class T>
concept Communicator = Backend<B> &&
    requires(C& communicator, B& b, out_vector<B, T> values, out_vector<B, double> sums, std::span<double> numbers) {
  { communicator.rank() } -> std::same_as<index_t>;        // of this process, from 0
  { communicator.world_size() } -> std::same_as<index_t>;  // processes
  communicator.all_reduce(b, values);  // every process gets the sum, in the order of the backend's work
  communicator.all_reduce(b, sums);
  communicator.all_reduce(b, numbers);  // the same of a few numbers on the host
};

/// One process.
struct single_process {
  index_t rank() const { return 0; }
  index_t world_size() const { return 1; }
  template <class B, class Values>
  void all_reduce(B&, Values) const {}
};

}  // namespace mql4grec::train
