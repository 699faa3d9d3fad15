#pragma once
// A beam search whose queries several ranks share out. Each takes whole micro-batches, so that every matrix product is
// that of a single process, and so are its bits.
#include <algorithm>
#include <vector>

#include "mql4grec/backend/contract/row_blocks.hpp"
#include "mql4grec/search/beam_search.hpp"
#include "mql4grec/train/exchange.hpp"

namespace mql4grec::pipeline::detail {

/// The queries that this rank searches; none if there are fewer micro-batches than ranks.
[[nodiscard]] inline row_range own_queries(train::host_communicator const& ranks, index_t queries,
                                           search::beam_options const& options) {
  search::validate(options);
  index_t const block = search::queries_at_once(options);
  auto const mine = worker_share{ranks.rank(), ranks.world_size()}.of((queries + block - 1) / block);
  index_t const first = std::min(queries, mine.first * block);
  return {first, std::min(queries, (mine.first + mine.count) * block) - first};
}

/// The results of all ranks' queries, in order.
[[nodiscard]] inline search::beams gather(train::host_communicator const& ranks, search::beams mine) {
  if (ranks.world_size() == 1) return mine;
  std::vector<index_t> counts;
  for (index_t q = 0; q < mine.queries(); ++q) counts.push_back(std::ssize(mine.leaves_of(q)));
  search::beams all;
  for (index_t const n : train::gather<index_t>(ranks, counts)) all.offsets.push_back(all.offsets.back() + n);
  all.leaves = train::gather<node_t>(ranks, mine.leaves);
  all.scores = train::gather<float>(ranks, mine.scores);
  return all;
}

}  // namespace mql4grec::pipeline::detail
