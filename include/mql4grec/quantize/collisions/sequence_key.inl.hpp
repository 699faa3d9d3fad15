#pragma once
// The definitions of quantize/collisions/sequence_key.hpp.
#include <algorithm>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/quantize/collisions/sequence_key.hpp"

namespace mql4grec::quantize::detail {

MQL4GREC_DEFINITION void sort_by_key(std::vector<keyed_item>& items) {
  std::ranges::sort(
      items, [](keyed_item const& a, keyed_item const& b) { return a.key != b.key ? a.key < b.key : a.item < b.item; });
}

MQL4GREC_DEFINITION std::vector<keyed_item> items_by_key(code_table const& table) {
  key_packing const packing(table.sizes());
  std::vector<keyed_item> order;
  order.reserve(to_size(table.items()));
  for (index_t i = 0; i < table.items(); ++i)
    if (auto const codes = table.of(item_id(static_cast<std::int32_t>(i))); !codes.empty())
      order.push_back({packing.pack(codes), item_id(static_cast<std::int32_t>(i))});
  sort_by_key(order);
  return order;
}

}  // namespace mql4grec::quantize::detail
