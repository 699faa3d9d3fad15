#pragma once
// The revival of codes that are no row's nearest.
#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "mql4grec/backend/contract/revive_codes.hpp"
#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

/// Counts for each code the batches in which it was no row's nearest, and moves those that reach `most_idle` to rows of
/// the batch: each to another one, in the order of the codes, and of the rows' errors ‖after‖², the highest first and
/// the first among equals. A moved code gets the row's value before the level; its moments and its count become 0. Of
/// more codes than rows, the last stay. revived (1) = the number of moved codes, which is read with sums and so has
/// their type.
template <Field T>
void revive_codes(backend&, index_t most_idle, level_batch<host_space, T> const& batch,
                  trained_codes<host_space, T> const& codes, out_vector<backend, double> revived) {
  revived(0) = 0;
  if (!batch.report(0).finite()) return;
  for (index_t k = 0; k < codes.idle.size(); ++k) ++codes.idle(k);
  for (index_t i = 0; i < batch.nearest.size(); ++i) codes.idle(index(batch.nearest(i))) = 0;
  std::vector<index_t> unused;
  for (index_t k = 0; k < codes.idle.size(); ++k)
    if (codes.idle(k) >= most_idle) unused.push_back(k);
  if (unused.empty()) return;
  std::vector<double> errors(to_size(batch.after.rows()), 0);
  for (index_t i = 0; i < batch.after.rows(); ++i)
    for (index_t j = 0; j < batch.after.columns(); ++j) {
      auto const rest = static_cast<double>(real_part(batch.after(i, j)));
      errors[to_size(i)] += rest * rest;
    }
  std::vector<index_t> worst(errors.size());
  std::iota(worst.begin(), worst.end(), index_t{0});
  auto const count = std::min(std::ssize(unused), std::ssize(worst));
  std::ranges::partial_sort(worst, worst.begin() + count, [&](index_t a, index_t b) {
    return std::pair(-errors[to_size(a)], a) < std::pair(-errors[to_size(b)], b);
  });
  for (index_t moved = 0; moved < count; ++moved) {
    index_t const k = unused[to_size(moved)];
    for (index_t j = 0; j < codes.vectors.columns(); ++j) {
      codes.vectors(k, j) = batch.before(worst[to_size(moved)], j);
      codes.first_moments(k, j) = codes.second_moments(k, j) = T{};
    }
    codes.idle(k) = 0;
  }
  revived(0) = static_cast<double>(count);
}

}  // namespace mql4grec::reference
