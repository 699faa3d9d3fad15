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
  std::vector<item_id> items;          // of all users back to back, each user's oldest first
  std::vector<index_t> offsets = {0};  // (users + 1): user u owns items[offsets[u] … offsets[u + 1])
  index_t item_count = 0;              // every id is below it: those of items that nobody took, and of none at all, too
  std::vector<std::string> user_keys;  // (users): what the file calls each user, kept for writing it back

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

/// Leave-one-out (Section 4.1 of the paper): a user's last item is the test target, the one before it the validation
/// target, everything earlier is training. A user with fewer than three items has nothing to spare: the whole history
/// is training, and the user is neither validated nor tested.
enum class split { train, valid, test };

inline constexpr index_t default_max_history = 20;

/// Whether the user has a validation and a test target.
inline bool is_evaluated(interactions const& data, user_id user) { return data.of(user).size() >= 3; }

/// The items of a user that a model may learn from.
inline std::span<item_id const> training_items(interactions const& data, user_id user) {
  auto const all = data.of(user);
  return is_evaluated(data, user) ? all.first(all.size() - 2) : all;
}

/// Where a part's target stands among the user's items; in training, the last item that may be learnt.
inline index_t target_position(interactions const& data, user_id user, split part) {
  auto const n = std::ssize(data.of(user));
  expects(n > 0 && (part == split::train || is_evaluated(data, user)), "user ", index(user), " has only ", n,
          " items and so no target there");
  if (part == split::train) return std::ssize(training_items(data, user)) - 1;
  return part == split::valid ? n - 2 : n - 1;
}

/// The at most `max_history` items right before position `end` of a user's items.
inline std::span<item_id const> window_before(std::span<item_id const> items, index_t end, index_t max_history) {
  expects(max_history >= 0, "a history of at most ", max_history, " items");
  auto const first = std::max<index_t>(0, end - max_history);
  return items.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(end - first));
}

}  // namespace mql4grec
