#pragma once
// Loops over blocks of rows, distributed among a backend's workers.
#include <algorithm>
#include <atomic>

#include "mql4grec/backend/contract/concepts.hpp"

namespace mql4grec::detail {

/// The number of rows in a block: few enough for a core's cache, or enough to occupy a whole device.
template <Backend B>
inline constexpr index_t rows_at_once = std::same_as<typename B::memory_space, host_space> ? 1024 : 32768;

/// Calls visit(worker, block number, first row, number of rows) for each block of rows, on whichever worker is free.
template <Backend B, class Visit>
void for_each_row_block(B& backend, index_t rows, index_t block, Visit&& visit) {
  std::atomic<index_t> next{0};
  for_each_worker(backend, [&](B& worker, index_t) {
    for (index_t i = next++; i * block < rows; i = next++)
      visit(worker, i, i * block, std::min(block, rows - i * block));
  });
}

}  // namespace mql4grec::detail
