#pragma once
#include <algorithm>
#include <atomic>

#include "mql4grec/backend/contract/concepts.hpp"

namespace mql4grec::detail {

/// Rows that are handled at once: what stays in a core's cache, or what fills a whole device.
template <Backend B>
inline constexpr index_t rows_at_once = std::same_as<typename B::memory_space, host_space> ? 1024 : 32768;

/// visit(worker, number of the block, its first row, its rows) for blocks of rows, each on whichever worker is free.
template <Backend B, class Visit>
void for_each_row_block(B& backend, index_t rows, index_t block, Visit&& visit) {
  std::atomic<index_t> next{0};
  for_each_worker(backend, [&](B& worker, index_t) {
    for (index_t i = next++; i * block < rows; i = next++)
      visit(worker, i, i * block, std::min(block, rows - i * block));
  });
}

}  // namespace mql4grec::detail
