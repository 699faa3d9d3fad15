#pragma once
#include <algorithm>
#include <atomic>

#include "mql4grec/backend/concepts.hpp"

namespace mql4grec::detail {

/// visit(lane, number of the block, its first row, its rows) for blocks of rows, each on whichever lane is free.
template <Backend B, class Visit>
void for_each_row_block(B& backend, index_t rows, index_t block, Visit&& visit) {
  std::atomic<index_t> next{0};
  for_each_lane(backend, [&](B& lane, index_t) {
    for (index_t i = next++; i * block < rows; i = next++) visit(lane, i, i * block, std::min(block, rows - i * block));
  });
}

}  // namespace mql4grec::detail
