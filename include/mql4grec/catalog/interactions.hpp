#pragma once
// Who took what, in order of time. Users are rows of one flat array, so a history is a window into it and never a copy.
#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec {

struct interactions {
  std::vector<item_id> items;              // of all users back to back, each user's oldest first
  std::vector<index_t> offsets = {0};      // (users + 1): user u owns items[offsets[u] … offsets[u + 1])
  index_t item_count = 0;                  // N: every id is below it; items nobody took count too
  std::vector<std::string> user_keys;      // (users): what the file calls each user, kept for writing it back

  index_t users() const { return static_cast<index_t>(offsets.size()) - 1; }

  /// All items of one user, oldest first. Throws when there is no such user.
  std::span<item_id const> of(user_id user) const {
    expects(index(user) >= 0 && index(user) < users(), "user ", index(user), " is not among the ", users(), " users");
    auto const u = static_cast<std::size_t>(user);
    return {items.data() + offsets[u], static_cast<std::size_t>(offsets[u + 1] - offsets[u])};
  }

  /// Adds one more user behind the others; item_count grows to cover the items.
  user_id add_user(std::string key, std::span<item_id const> history) {
    for (auto const item : history) {
      expects(index(item) >= 0, "user '", key, "': item ", index(item), " is negative");
      item_count = std::max(item_count, index(item) + 1);
    }
    items.insert(items.end(), history.begin(), history.end());
    offsets.push_back(static_cast<index_t>(items.size()));
    user_keys.push_back(std::move(key));
    return static_cast<user_id>(users() - 1);
  }

  bool operator==(interactions const&) const = default;
};

}  // namespace mql4grec
