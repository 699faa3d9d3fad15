#pragma once
// The minimum-cost bipartite matching that `match` uses.
#include <limits>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::quantize::detail {

/// The column of each row in a matching with minimal total cost. `costs` is (rows, columns), row-major, with rows ≤
/// columns; throws error otherwise. Shortest augmenting paths with potentials (Jonker & Volgenant, Computing 38, 1987),
/// O(rows² · columns). Deterministic.
[[nodiscard]] inline std::vector<index_t> minimum_cost_matching(std::vector<double> const& costs, index_t rows,
                                                                index_t columns) {
  expects(rows <= columns, "matching: ", rows, " rows for ", columns, " columns, expected at most as many");
  auto const at = [](index_t i) { return to_size(i); };
  constexpr double far = std::numeric_limits<double>::infinity();
  std::vector<double> row_potential(at(rows), 0), column_potential(at(columns + 1), 0), shortest(at(columns + 1));
  // The additional column `columns` represents the row that is being added.
  std::vector<index_t> row_of(at(columns + 1), -1), before(at(columns + 1));
  std::vector<bool> reached(at(columns + 1));
  for (index_t row = 0; row < rows; ++row) {
    row_of[at(columns)] = row;
    std::fill(shortest.begin(), shortest.end(), far);
    std::fill(reached.begin(), reached.end(), false);
    index_t here = columns;
    while (row_of[at(here)] >= 0) {  // until a free column is reached
      reached[at(here)] = true;
      index_t const i = row_of[at(here)];
      index_t next = -1;
      for (index_t j = 0; j < columns; ++j) {
        if (reached[at(j)]) continue;
        double const length = costs[at(i * columns + j)] - row_potential[at(i)] - column_potential[at(j)];
        if (length < shortest[at(j)]) {
          shortest[at(j)] = length;
          before[at(j)] = here;
        }
        if (next < 0 || shortest[at(j)] < shortest[at(next)]) next = j;
      }
      double const step = shortest[at(next)];
      for (index_t j = 0; j <= columns; ++j) {
        if (reached[at(j)]) {
          row_potential[at(row_of[at(j)])] += step;
          column_potential[at(j)] -= step;
        } else {
          shortest[at(j)] -= step;
        }
      }
      here = next;
    }
    for (; here != columns; here = before[at(here)]) row_of[at(here)] = row_of[at(before[at(here)])];
  }
  std::vector<index_t> column_of(at(rows), -1);
  for (index_t j = 0; j < columns; ++j)
    if (row_of[at(j)] >= 0) column_of[at(row_of[at(j)])] = j;
  return column_of;
}

}  // namespace mql4grec::quantize::detail
