#pragma once
// The leave-one-out split: which users are evaluated, which items are the history, and which item is the target.
#include <span>
#include <vector>

#include "mql4grec/catalog/interactions.hpp"

namespace mql4grec::catalog {

/// The name of a part: "train", "valid" or "test".
inline char const* name_of(split part) {
  return part == split::train ? "train" : part == split::valid ? "valid" : "test";
}

/// The item to be predicted. Throws error for a user without a target in this part.
inline item_id target(interactions const& data, user_id user, split part) {
  return data.of(user)[to_size(target_position(data, user, part))];
}

/// The last `max_history` items before the target, oldest first. In the test part, the history includes the validation
/// item. Throws error for a user without a target in this part.
[[nodiscard]] inline std::span<item_id const> history(interactions const& data, user_id user, split part,
                                                      index_t max_history = default_max_history) {
  return window_before(data.of(user), target_position(data, user, part), max_history);
}

/// The users with a validation and a test target, in ascending order.
[[nodiscard]] inline std::vector<user_id> evaluated_users(interactions const& data) {
  std::vector<user_id> users;
  for (index_t u = 0; u < data.users(); ++u)
    if (is_evaluated(data, user_id(u))) users.push_back(user_id(u));
  return users;
}

/// The number of users with fewer than three items, who are excluded from validation and test.
inline index_t short_users(interactions const& data) { return data.users() - std::ssize(evaluated_users(data)); }

}  // namespace mql4grec::catalog
