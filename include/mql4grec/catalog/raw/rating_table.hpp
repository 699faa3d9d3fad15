#pragma once
// All different (user, item) pairs of raw ratings. Strings are kept once a user and item, so a rating takes 16 bytes
// and a slot of a hash table, however long its line is.
#include <cstdint>
#include <string_view>
#include <vector>

#include "mql4grec/catalog/raw/detail/id_table.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::catalog {

/// One rating as a raw file contains it; only who, what and when matter.
struct raw_rating {
  std::string_view user, item;  ///< raw ids
  double time = 0;              ///< in the file's unit; exact for whole numbers up to 2^53
};

/// The same with numbers for the ids, in the order of their first appearance.
struct numbered_rating {
  std::uint32_t user = 0, item = 0;  ///< positions in the tables of raw ids
  double time = 0;                   ///< as in raw_rating
  bool operator==(numbered_rating const&) const = default;
};

/// Collects ratings and removes duplicates of a (user, item) pair, keeping the first. Memory grows with the number of
/// users, items and different pairs, not with the number of ratings added.
class rating_table {
 public:
  /// Adds a rating. Returns false for a duplicate, which is counted. Throws error for more than 2^32 − 2 pairs.
  bool add(raw_rating const& rating);

  /// The ratings in the order of add(), without duplicates.
  [[nodiscard]] std::vector<numbered_rating> const& ratings() const { return ratings_; }
  /// The number of calls of add().
  [[nodiscard]] index_t added() const { return added_; }
  /// The raw ids of users, by number.
  [[nodiscard]] detail::id_table const& users() const { return users_; }
  /// The raw ids of items, by number.
  [[nodiscard]] detail::id_table const& items() const { return items_; }

  /// Keeps the ratings for which keep[i] isn't 0, in the same order. Frees the hash table: add() must not be called
  /// afterwards.
  void filter(std::vector<std::uint8_t> const& keep);

 private:
  void grow();

  detail::id_table users_, items_;
  std::vector<numbered_rating> ratings_;
  std::vector<std::uint32_t> slots_;  ///< positions in ratings_, a power of two, at most half full
  index_t added_ = 0;
};

/// The fewest ratings that a user and an item must have.
struct core_sizes {
  index_t user = 5, item = 5;  ///< ratings; 0 or 1 keeps all
};

/// The ratings of the k-core: the largest set in which every user and item has at least so many ratings as `sizes`
/// demands. Returns 1 for each rating that belongs to it, 0 for the others. The result is a fixed point and doesn't
/// depend on any order; time and memory are linear in the number of ratings. Throws error for a negative size.
[[nodiscard]] std::vector<std::uint8_t> k_core(std::vector<numbered_rating> const& ratings, core_sizes sizes);

}  // namespace mql4grec::catalog

#if !MQL4GREC_COMPILED
#include "mql4grec/catalog/raw/rating_table.inl.hpp"
#endif
