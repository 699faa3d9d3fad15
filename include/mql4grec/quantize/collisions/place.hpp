#pragma once
// Placement of new items in a catalog whose items already have codes.
#include "mql4grec/quantize/codebook/residual_quantizer.hpp"
#include "mql4grec/quantize/collisions/sequence_placer.hpp"

namespace mql4grec {

namespace detail {
/// Throws error unless all items are in the table, each is given once, and there is room for all. Precedes all changes.
inline void check_new_items(code_table const& table, std::span<item_id const> items) {
  std::vector<item_id> sorted(items.begin(), items.end());
  std::ranges::sort(sorted);
  for (auto const item : sorted)
    expects(index(item) >= 0 && index(item) < table.items(), "place: item ", index(item), " of a code table of ",
            table.items());
  auto const twice = std::ranges::adjacent_find(sorted);
  expects(twice == sorted.end(), "place: item ", twice == sorted.end() ? 0 : index(*twice), " is named twice");
  index_t others = 0;
  for (index_t i = 0; i < table.items(); ++i) others += table.has(item_id(static_cast<std::int32_t>(i))) ? 1 : 0;
  for (auto const item : items) others -= table.has(item) ? 1 : 0;
  if (!items.empty()) check_room(table, others + std::ssize(items), items.back());
}
}  // namespace detail

/// Gives new items their sequences one after the other, in the given order: the nearest codes, or the nearest free ones
/// as by `reallocate` when these are in use. The codes of other items don't change. The table must contain the items
/// (see code_table::grow()); an item that already has a sequence gets a new one. Returns the number of items that
/// didn't get their nearest codes. Throws error without any change when an item isn't in the table or is given twice,
/// and when there are more items than sequences.
template <Backend B, LatentSource L>
index_t place_items(B& backend, code_table& table, std::span<codebook_view<B, float> const> levels, L const& latents,
                    std::span<item_id const> items) {
  detail::check_levels<B>(table, levels, latents.rows(), latents.width());
  detail::check_new_items(table, items);
  for (auto const item : items) table.remove(item);
  detail::occupancy taken(table);
  detail::sequence_placer<B> seats(backend, table, levels, taken);
  std::vector<index_t> rows;
  for (auto const item : items) rows.push_back(index(item));
  index_t const n = std::ssize(rows), width = latents.width();
  std::vector<float> memory(to_size(n * width));
  host_matrix_view<float> const all(memory.data(), n, width);
  latents.gather(rows, all);
  std::vector<float> left(memory);
  std::vector<code_t> codes(to_size(n * table.levels()));
  host_matrix_view<code_t> const by_level(codes.data(), table.levels(), n);
  quantize<float>(backend, levels, host_matrix_view<float>(left.data(), n, width), by_level);
  index_t moved = 0;
  for (index_t i = 0; i < n; ++i) {
    std::vector<code_t> nearest;
    for (index_t l = 0; l < table.levels(); ++l) nearest.push_back(by_level(l, i));
    seats.place(items.subspan(to_size(i), 1), all.row_block(i, 1), nearest);
    moved += std::ranges::equal(table.of(items[to_size(i)]), nearest) ? 0 : 1;
  }
  return moved;
}

}  // namespace mql4grec
