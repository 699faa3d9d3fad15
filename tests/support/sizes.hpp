#pragma once
// Edge-case sizes: zero, one, and the neighbourhood of what kernels process at a time (16 workers, 128 mask columns).
#include <vector>

#include "mql4grec/core/scalar.hpp"

namespace mql4grec::test {

inline constexpr index_t edge_widths[] = {1, 15, 16, 17, 127, 128, 129};
inline constexpr index_t edge_rows[] = {0, 1, 3};
inline constexpr index_t edge_gaps[] = {0, 5};  // between the rows of a window

/// visit(rows, columns, gap) for every combination.
template <class Visit>
void for_each_shape(Visit&& visit) {
  for (index_t rows : edge_rows)
    for (index_t columns : edge_widths)
      for (index_t gap : edge_gaps) visit(rows, columns, gap);
}

}  // namespace mql4grec::test
