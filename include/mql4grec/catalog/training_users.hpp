#pragma once
// Trains on a part of the users, for curves over the number of users. The part is an attribute of the interactions, so
// training, validation and baselines agree about it; evaluation doesn't depend on it.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <variant>
#include <vector>

#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/core/random.hpp"

namespace mql4grec::catalog {

/// The first users of a dataset, all if it has fewer.
struct first_users {
  index_t count = 1;  ///< at least 1
  bool operator==(first_users const&) const = default;
};

/// A random part of the users, at least one. Of two parts with the same seed, the larger one contains the smaller one.
struct random_users {
  double share = 1;        ///< of all users, more than 0 and at most 1; rounded to whole users
  std::uint64_t seed = 0;  ///< another seed is another part
  bool operator==(random_users const&) const = default;
};

/// A part of a dataset's users.
using user_selection = std::variant<first_users, random_users>;

/// Throws error for a selection out of range.
inline void validate(user_selection const& which) {
  if (auto const* first = std::get_if<first_users>(&which))
    expects(first->count >= 1, "training users: the first ", first->count, ", expected at least 1");
  else if (double const share = std::get<random_users>(which).share; !(share > 0 && share <= 1))
    raise("training users: a share of ", share, ", expected more than 0 and at most 1");
}

/// The selected users of a dataset with `users` users, in ascending order. Throws error for a selection out of range.
[[nodiscard]] inline std::vector<user_id> selected_users(index_t users, user_selection const& which) {
  validate(which);
  std::vector<user_id> chosen(to_size(users));
  for (index_t u = 0; u < users; ++u) chosen[to_size(u)] = user_id(u);
  index_t count = users;
  if (auto const* first = std::get_if<first_users>(&which)) {
    count = std::min(users, first->count);
  } else {
    auto const& random = std::get<random_users>(which);
    constexpr std::uint64_t purpose = 0x75;
    shuffle(std::span(chosen), random_stream(random.seed, purpose << 56));
    count = std::min(users, std::max<index_t>(1, std::llround(random.share * static_cast<double>(users))));
  }
  chosen.resize(to_size(count));
  std::ranges::sort(chosen);
  return chosen;
}

/// Restricts the training to the selected users; an earlier restriction is replaced. The other users have no training
/// items and take no part in the validation loss of a training (tasks::validation_set). They keep their validation and
/// test targets, with whole histories before them, so an evaluation is that of all users. Items are not affected: the
/// tokens of all of them are known, and alignment tasks use them. Throws error for a selection out of range.
inline void keep_training_users(interactions& data, user_selection const& which) {
  data.is_trained.assign(to_size(data.users()), 0);
  for (auto const user : selected_users(data.users(), which)) data.is_trained[to_size(user)] = 1;
}

}  // namespace mql4grec::catalog
