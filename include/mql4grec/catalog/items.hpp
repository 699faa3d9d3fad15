#pragma once
#include <optional>
#include <string>
#include <vector>

namespace mql4grec {

/// What `D.item.json` says about an item.
struct item_description {
  std::string title, description, brand, categories;
  bool operator==(item_description const&) const = default;
};

/// By item id; nothing where the file is silent about an item.
using item_descriptions = std::vector<std::optional<item_description>>;

/// What stands outside for each dense id: `keys[id]` is the shop's name of the item (or user).
using outside_ids = std::vector<std::string>;

}  // namespace mql4grec
