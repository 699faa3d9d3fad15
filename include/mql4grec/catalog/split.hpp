#pragma once
// The questions that leave-one-out asks: whom, what is known, and what is the right answer.
#include <span>
#include <vector>

#include "mql4grec/catalog/interactions.hpp"

namespace mql4grec {

/// "train", "valid" or "test".
inline char const* name_of(split part) {
  return part == split::train ? "train" : part == split::valid ? "valid" : "test";
}

/// The right answer. Throws for a user who has none in that part.
inline item_id target(interactions const& data, user_id user, split part) {
  return data.of(user)[static_cast<std::size_t>(target_position(data, user, part))];
}

/// What is known before the target, oldest first: the validation item is history when testing.
inline std::span<item_id const> history(interactions const& data, user_id user, split part,
                                        index_t max_history = default_max_history) {
  return window_before(data.of(user), target_position(data, user, part), max_history);
}

/// The users that validation and test run over, in order.
inline std::vector<user_id> evaluated_users(interactions const& data) {
  std::vector<user_id> users;
  for (index_t u = 0; u < data.users(); ++u)
    if (is_evaluated(data, user_id(u))) users.push_back(user_id(u));
  return users;
}

/// How many users have fewer than three items and are left out of validation and test: worth one line of a report.
inline index_t short_users(interactions const& data) { return data.users() - std::ssize(evaluated_users(data)); }

}  // namespace mql4grec
