#pragma once
// The splits, leave-one-out and by time: which users are evaluated, which items are the history, and which item is the
// target.
#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mql4grec/catalog/interactions.hpp"

namespace mql4grec::catalog {

/// The name of a part: "train", "valid" or "test".
inline char const* name_of(split part) {
  return part == split::train ? "train" : part == split::valid ? "valid" : "test";
}

/// Makes the split of `data` one by time: models may know the interactions before `until`. `times` has one entry for
/// each of data.items and rises with the items of a user. Throws error if it doesn't.
inline void split_by_time(interactions& data, std::span<double const> times, double until) {
  expects(times.size() == data.items.size(), "times of ", times.size(), " interactions, but there are ",
          data.items.size());
  time_split split{.until = until, .known = {}};
  for (std::size_t u = 0; u + 1 < data.offsets.size(); ++u) {
    auto const of_user = times.subspan(to_size(data.offsets[u]), to_size(data.offsets[u + 1] - data.offsets[u]));
    expects(std::ranges::is_sorted(of_user), "the times of user ", u, " don't rise");
    split.known.push_back(std::ranges::lower_bound(of_user, until) - of_user.begin());
  }
  data.time = std::move(split);
}

/// The item to be predicted. Throws error for a user without a target in this part.
inline item_id target(interactions const& data, user_id user, split part) {
  return data.of(user)[to_size(target_position(data, user, part))];
}

/// The last `max_history` items before the target, oldest first. In the test part, the history includes the validation
/// item of leave-one-out. Throws error for a user without a target in this part.
[[nodiscard]] inline std::span<item_id const> history(interactions const& data, user_id user, split part,
                                                      index_t max_history = default_max_history) {
  return window_before(data.of(user), target_position(data, user, part), max_history);
}

/// The users with a target in a part, in ascending order. For leave-one-out, validation and test have the same users.
[[nodiscard]] inline std::vector<user_id> evaluated_users(interactions const& data, split part = split::test) {
  std::vector<user_id> users;
  for (index_t u = 0; u < data.users(); ++u)
    if (has_target(data, user_id(u), part)) users.push_back(user_id(u));
  return users;
}

/// The number of users without a test target: for leave-one-out, those with fewer than three items.
inline index_t short_users(interactions const& data) { return data.users() - std::ssize(evaluated_users(data)); }

}  // namespace mql4grec::catalog
