#pragma once
// The descriptive texts of items.
#include <map>
#include <string>

#include "mql4grec/core/ids.hpp"

namespace mql4grec::catalog {

/// The description of an item in `D.item.json`. A field that the file lacks is empty.
struct item_description {
  /// Plain text; several categories or texts are joined.
  std::string title = {}, description = {}, brand = {}, categories = {};
  bool operator==(item_description const&) const = default;
};

/// Descriptions by item. An item that the file does not contain has no entry.
using item_descriptions = std::map<item_id, item_description>;

}  // namespace mql4grec::catalog
