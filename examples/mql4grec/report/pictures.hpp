#pragma once
// Pictures of items inside a page: each file once, in the style sheet, so that an item may be shown many times.
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "mql4grec/core/ids.hpp"

namespace mql4grec::program {

/// The pictures that a page uses.
class picture_sheet {
 public:
  /// `files`: the picture of each item; an empty path or no entry: none.
  explicit picture_sheet(std::vector<std::filesystem::path> const& files) : files_(files) {}

  /// The element that shows an item's picture; empty if it has none, or one that can't be read or has more than 256
  /// KiB.
  std::string of(item_id item);
  /// Whether the items have pictures at all.
  bool any() const { return !files_.empty(); }
  /// The rules for all pictures that were asked for.
  std::string const& style() const { return style_; }

 private:
  std::vector<std::filesystem::path> const& files_;
  std::set<item_id> used_, refused_;
  std::string style_;
};

}  // namespace mql4grec::program
