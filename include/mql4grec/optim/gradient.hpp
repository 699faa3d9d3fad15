#pragma once
// Sums the gradients of a backend's workers. The first gradient is overwritten by the sum.
#include <cmath>
#include <numeric>
#include <span>
#include <vector>

#include "mql4grec/optim/adamw.hpp"

namespace mql4grec::optim {

/// Adds the workers' gradients, in their order, to the first one and returns the norm of the sum. All gradients have
/// the same size; there is at least one.
template <class T, class B>
double reduce_gradients(B& b, std::span<out_vector<B, T> const> gradients) {
  index_t const n = gradients.front().size(), share = (n + b.workers() - 1) / b.workers();
  std::vector<double> squares(to_size(b.workers()), 0);
  for_each_worker(b, [&](B& worker, index_t which) {
    index_t const begin = std::min(n, which * share), count = std::min(n, begin + share) - begin;
    auto const total = gradients.front().part(begin, count);
    for (auto const& other : gradients.subspan(1)) accumulate<T>(worker, other.part(begin, count), total);
    squares[to_size(which)] = sum_of_squares<T>(worker, total);
  });
  return std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
}

}  // namespace mql4grec::optim
