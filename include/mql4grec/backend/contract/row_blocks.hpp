#pragma once
// The division of rows among a backend's workers: a fixed share for each, or blocks for whichever is free.
#include <algorithm>
#include <atomic>

#include "mql4grec/backend/contract/concepts.hpp"

namespace mql4grec {
inline namespace contract {

/// The rows first … first + count − 1 of a batch.
struct row_range {
  index_t first, count;  ///< the first row; the number of rows
};

/// One of the workers that divide rows among each other.
struct worker_share {
  index_t worker, workers;  ///< the number of this worker, 0 … workers − 1; the number of workers

  /// This worker's part of `rows` rows.
  [[nodiscard]] row_range of(index_t rows) const {
    index_t const first = rows * worker / workers;
    return {first, rows * (worker + 1) / workers - first};
  }
  /// The same in whole blocks of `block` rows; the last block may be shorter, and the part of a late worker empty.
  [[nodiscard]] row_range of_blocks(index_t rows, index_t block) const {
    index_t const part = (rows + workers * block - 1) / (workers * block) * block;
    index_t const first = std::min(rows, worker * part);
    return {first, std::min(rows, first + part) - first};
  }
};

namespace detail {

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

}  // namespace detail

}  // namespace contract
}  // namespace mql4grec
