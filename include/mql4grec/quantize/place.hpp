#pragma once
#include "mql4grec/quantize/placement.hpp"
#include "mql4grec/quantize/residual_quantizer.hpp"

namespace mql4grec {

/// Gives new items their sequences one after the other, in the order given: the nearest codes, and where those are taken already the
/// nearest that are free, as reallocate has it. No other item's codes change. The table must have room for the items (code_table::grow);
/// an item that has a sequence is placed anew. Returns how many couldn't have their nearest codes.
template <Backend B, LatentSource L>
index_t place_items(B& backend, code_table& table, std::span<codebook_view<B, float> const> levels, L const& latents, std::span<item_id const> items) {
  detail::check_levels<B>(table, levels, latents.rows(), latents.width());
  for (auto const item : items) table.remove(item);
  detail::occupancy taken(table);
  detail::placement<B> seats(backend, table, levels, taken);
  std::vector<index_t> rows;
  for (auto const item : items) {
    expects(index(item) >= 0 && index(item) < table.items(), "place: item ", index(item), " of a code table of ", table.items());
    rows.push_back(index(item));
  }
  index_t const n = std::ssize(rows), width = latents.width();
  std::vector<float> memory(static_cast<std::size_t>(n * width));
  host_matrix_view<float> const all(memory.data(), n, width);
  latents.gather(rows, all);
  std::vector<float> left(memory);
  std::vector<code_t> codes(static_cast<std::size_t>(n * table.levels()));
  host_matrix_view<code_t> const by_level(codes.data(), table.levels(), n);
  quantize<float>(backend, levels, host_matrix_view<float>(left.data(), n, width), by_level);
  index_t moved = 0;
  for (index_t i = 0; i < n; ++i) {
    std::vector<code_t> nearest;
    for (index_t l = 0; l < table.levels(); ++l) nearest.push_back(by_level(l, i));
    seats.place(items.subspan(static_cast<std::size_t>(i), 1), all.row_block(i, 1), nearest);
    moved += std::ranges::equal(table.of(items[static_cast<std::size_t>(i)]), nearest) ? 0 : 1;
  }
  return moved;
}

}  // namespace mql4grec
