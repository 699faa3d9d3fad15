#pragma once
// Sizes that hurt: nothing, one, and the neighbourhood of what kernels do at a time (16 workers, 128 mask columns).
#include <vector>

#include "mql4grec/core/scalar.hpp"

namespace mql4grec::test {

inline constexpr index_t widths_that_hurt[] = {1, 15, 16, 17, 127, 128, 129};
inline constexpr index_t rows_that_hurt[] = {0, 1, 3};
inline constexpr index_t gaps_that_hurt[] = {0, 5};  // between the rows of a window

/// visit(rows, columns, gap) for every combination.
template <class Visit>
void for_each_shape(Visit&& visit) {
  for (index_t rows : rows_that_hurt)
    for (index_t columns : widths_that_hurt)
      for (index_t gap : gaps_that_hurt) visit(rows, columns, gap);
}

}  // namespace mql4grec::test
