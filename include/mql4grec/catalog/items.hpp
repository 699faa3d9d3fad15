#pragma once
#include <map>
#include <string>
#include <vector>

#include "mql4grec/core/ids.hpp"

namespace mql4grec {

/// What `D.item.json` says about an item; empty where it says nothing.
struct item_description {
  std::string title = {}, description = {}, brand = {}, categories = {};
  bool operator==(item_description const&) const = default;
};

/// Of the items that the file names.
using item_descriptions = std::map<item_id, item_description>;

/// What stands outside for each dense id: `keys[id]` is the shop's name of the item (or user).
using outside_ids = std::vector<std::string>;

}  // namespace mql4grec
