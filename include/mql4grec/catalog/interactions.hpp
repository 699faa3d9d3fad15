#pragma once
// Which users interacted with which items, in chronological order. All histories lie in one flat array, so a history is
// a span of that array and never a copy. The array is in memory or in a mapped file; see packed_interactions.hpp.
#include <algorithm>
#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "mql4grec/core/column.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec::catalog {

/// A split by time: what a model may know are the interactions before `until`. See split_by_time().
struct time_split {
  double until = 0;  ///< in the unit of the dataset's times
  std::vector<index_t> known =
      {};  ///< (users): how many of the user's items are before `until`; they are the first ones
  bool operator==(time_split const&) const = default;
};

/// The histories of all users of a dataset. Users are numbered 0 … users() − 1.
struct interactions {
  column<item_id> items;                ///< of all users, back to back; the items of each user are ordered oldest first
  column<index_t> offsets = {0};        ///< (users + 1): the items of user u are items[offsets[u] … offsets[u + 1])
  index_t item_count = 0;               ///< greater than every id in `items`; also counts items without interactions
  string_column user_keys;              ///< (users): the key of each user in the file, kept for writing it back
  std::optional<time_split> time = {};  ///< the split is by time; without a value it is leave-one-out
  /// (users): 1 for the users that models are trained on, otherwise 0; empty: all. See keep_training_users().
  std::vector<std::uint8_t> is_trained = {};

  /// The number of users.
  index_t users() const { return static_cast<index_t>(offsets.size()) - 1; }

  /// All items of one user, oldest first. The span is valid until the next add_user(). Throws error when there is no
  /// such user.
  std::span<item_id const> of(user_id user) const {
    expects(index(user) >= 0 && index(user) < users(), "user ", index(user), " is not among the ", users(), " users");
    auto const u = to_size(user);
    return {items.data() + offsets[u], to_size(offsets[u + 1] - offsets[u])};
  }

  /// Appends a user and returns its id. item_count grows to cover the items of the history. Mapped interactions are
  /// copied into memory first. Throws error for a negative item.
  user_id add_user(std::string_view key, std::span<item_id const> history) {
    for (auto const item : history) {
      expects(index(item) >= 0, "user '", key, "': item ", index(item), " is negative");
      item_count = std::max(item_count, index(item) + 1);
    }
    auto& all = items.own();
    all.insert(all.end(), history.begin(), history.end());
    offsets.own().push_back(std::ssize(all));
    user_keys.push_back(key);
    return static_cast<user_id>(users() - 1);
  }

  bool operator==(interactions const&) const = default;
};

/// The three parts of a split.
///
/// Leave-one-out (Section 4.1 of the paper): the last item of a user is the test target, the item before it is the
/// validation target, and all earlier items are for training. A user with fewer than three items is neither validated
/// nor tested: the whole history is for training.
///
/// By time: the user's first item at or after `until` is the test target, and its history is all items before `until`.
/// The last item before `until` is the validation target, and all earlier items are for training. A user with one item
/// before `until` isn't validated: that item is for training. A user with none, or with no later item, isn't tested.
enum class split { train, valid, test };

/// The default number of most recent items that a model reads.
inline constexpr index_t default_max_history = 20;

/// The items of a user that a model may know before the test, oldest first: those before the time of a time split,
/// otherwise all. Throws error when there is no such user.
[[nodiscard]] inline std::span<item_id const> known_items(interactions const& data, user_id user) {
  auto const all = data.of(user);
  if (!data.time) return all;
  expects(to_size(user) < data.time->known.size(), "user ", index(user), " was added after the split by time");
  return all.first(to_size(data.time->known[to_size(user)]));
}

/// Whether models are trained on the user. Throws error when there is no such user.
[[nodiscard]] inline bool is_training_user(interactions const& data, user_id user) {
  expects(index(user) >= 0 && index(user) < data.users(), "user ", index(user), " is not among the ", data.users(),
          " users");
  if (data.is_trained.empty()) return true;
  expects(to_size(user) < data.is_trained.size(), "user ", index(user), " was added after the training users");
  return data.is_trained[to_size(user)] != 0;
}

/// The items of a user that a model may be trained on, oldest first: all before the validation target, or all known
/// items if there is none. None if models aren't trained on the user.
[[nodiscard]] inline std::span<item_id const> training_items(interactions const& data, user_id user) {
  auto const known = known_items(data, user);
  if (!is_training_user(data, user)) return {};
  if (data.time) return known.size() >= 2 ? known.first(known.size() - 1) : known;
  return known.size() >= 3 ? known.first(known.size() - 2) : known;
}

/// Whether the user has a target in this part. Throws error when there is no such user.
[[nodiscard]] inline bool has_target(interactions const& data, user_id user, split part) {
  auto const known = known_items(data, user).size();
  if (part == split::train) return known > 0 && is_training_user(data, user);
  if (!data.time) return known >= 3;
  return part == split::valid ? known >= 2 : known >= 1 && data.of(user).size() > known;
}

/// Whether the user has a validation target and a test target; for leave-one-out, whether there are at least three
/// items. Throws error when there is no such user.
[[nodiscard]] inline bool is_evaluated(interactions const& data, user_id user) {
  return has_target(data, user, split::valid) && has_target(data, user, split::test);
}

/// The position of the target among the user's items. For split::train, this is the position of the last training item.
/// Throws error when the user has no target in this part.
[[nodiscard]] inline index_t target_position(interactions const& data, user_id user, split part) {
  auto const n = std::ssize(data.of(user)), known = std::ssize(known_items(data, user));
  if (!has_target(data, user, part)) {
    expects(part != split::train || is_training_user(data, user), "user ", index(user),
            " is not among the users that models are trained on");
    expects(!data.time, "user ", index(user), " has ", n, " items, ", known,
            " of them before the time of the split, and so no target there");
    raise("user ", index(user), " has only ", n, " items and so no target there");
  }
  if (part == split::train) return std::ssize(training_items(data, user)) - 1;
  if (data.time) return part == split::valid ? known - 1 : known;
  return part == split::valid ? n - 2 : n - 1;
}

/// A set of items, which is filled from lists with many repetitions in constant time an item. It has a bit for each
/// item number of the ranges of 65,536 numbers that items are in.
class distinct_items {
 public:
  /// Adds items, none of which is negative.
  void add(std::span<item_id const> more) {
    for (auto const item : more) add(item);
  }
  /// Adds an item that isn't negative. Returns whether it is new.
  bool add(item_id item) {
    auto const page = to_size(item) / page_items, place = to_size(item) % page_items;
    if (page >= pages_.size()) pages_.resize(page + 1);
    if (!pages_[page]) pages_[page] = std::make_unique<std::bitset<page_items>>();
    bool const is_new = !pages_[page]->test(place);
    pages_[page]->set(place);
    return is_new;
  }
  /// The items in ascending order.
  [[nodiscard]] std::vector<item_id> sorted() const {
    std::vector<item_id> items;
    for (std::size_t page = 0; page < pages_.size(); ++page)
      for (std::size_t place = 0; pages_[page] && place < page_items; ++place)
        if (pages_[page]->test(place)) items.push_back(static_cast<item_id>(page * page_items + place));
    return items;
  }

 private:
  static constexpr std::size_t page_items = 1 << 16;
  std::vector<std::unique_ptr<std::bitset<page_items>>> pages_;
};

/// The items that at least one user has among the known items, in ascending order. With a split by time all other items
/// are cold: nobody has interacted with them before `until`.
[[nodiscard]] inline std::vector<item_id> interacted_items(interactions const& data) {
  distinct_items items;
  for (index_t u = 0; u < data.users(); ++u) items.add(known_items(data, static_cast<user_id>(u)));
  return items.sorted();
}

/// The last `max_history` items before position `end`, or fewer when fewer exist. Throws error when max_history is
/// negative.
[[nodiscard]] inline std::span<item_id const> window_before(std::span<item_id const> items, index_t end,
                                                            index_t max_history) {
  expects(max_history >= 0, "a history of at most ", max_history, " items");
  auto const first = std::max<index_t>(0, end - max_history);
  return items.subspan(to_size(first), to_size(end - first));
}

}  // namespace mql4grec::catalog
