#pragma once
// Leave-one-out (Section 4.1 of the paper): a user's last item is the test target, the one before it the validation
// target, everything earlier is training. A user with fewer than three items has nothing to spare: the whole
// history is training, and the user is neither validated nor tested (short_users() counts them, for one report).
#include <algorithm>
#include <span>
#include <vector>

#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec {

enum class split { train, valid, test };

inline constexpr index_t default_max_history = 20;

inline char const* name_of(split part) {
  return part == split::train ? "train" : part == split::valid ? "valid" : "test";
}

/// Whether the user has a validation and a test target.
inline bool is_evaluated(interactions const& data, user_id user) { return data.of(user).size() >= 3; }

/// The items a model may learn from.
inline std::span<item_id const> training_items(interactions const& data, user_id user) {
  auto const all = data.of(user);
  return all.size() >= 3 ? all.first(all.size() - 2) : all;
}

/// Where a part's target stands in the user's items: for training, the last item that may be learnt.
inline index_t target_position(interactions const& data, user_id user, split part) {
  auto const n = static_cast<index_t>(data.of(user).size());
  expects(is_evaluated(data, user) || (part == split::train && n > 0), "user ", index(user), " has ", n,
          " items and so no ", name_of(part), " target");
  return part == split::test ? n - 1 : part == split::valid ? n - 2 : static_cast<index_t>(training_items(data, user).size()) - 1;
}

inline item_id target(interactions const& data, user_id user, split part) {
  return data.of(user)[static_cast<std::size_t>(target_position(data, user, part))];
}

/// The at most `max_history` items right before position `end` of a user's items.
inline std::span<item_id const> window_before(std::span<item_id const> items, index_t end, index_t max_history) {
  expects(max_history >= 0, "a history of at most ", max_history, " items");
  auto const first = std::max<index_t>(0, end - max_history);
  return items.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(end - first));
}

/// What is known before the target: the validation item is history when testing.
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

/// How many users have fewer than three items.
inline index_t short_users(interactions const& data) {
  return data.users() - static_cast<index_t>(evaluated_users(data).size());
}

}  // namespace mql4grec
