#pragma once
// The definitions of catalog/raw/rating_table.hpp.
#include <algorithm>
#include <limits>
#include <utility>

#include "mql4grec/catalog/raw/rating_table.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::catalog {

namespace detail {

inline constexpr std::uint32_t no_rating = std::numeric_limits<std::uint32_t>::max();

/// The slot of a pair, or the free one where it belongs. Numbers are dense, so this mixing suffices.
MQL4GREC_DEFINITION std::size_t rating_slot(std::vector<std::uint32_t> const& slots,
                                            std::vector<numbered_rating> const& ratings, numbered_rating const& r) {
  auto const mask = slots.size() - 1;
  auto const key = (std::uint64_t{r.user} << 32 | r.item) * 0x9e3779b97f4a7c15;
  auto at = static_cast<std::size_t>(key ^ key >> 32) & mask;
  auto const taken_by_other = [&](std::uint32_t i) {
    return i != no_rating && (ratings[i].user != r.user || ratings[i].item != r.item);
  };
  while (taken_by_other(slots[at])) at = (at + 1) & mask;
  return at;
}

/// The ratings of each user or item: those of u are positions[offsets[u] … offsets[u + 1]).
struct adjacency {
  std::vector<std::uint32_t> offsets, positions;
};

template <class Number>
adjacency adjacency_of(std::vector<numbered_rating> const& ratings, Number const& number) {
  std::uint32_t count = 0;
  for (auto const& r : ratings) count = std::max(count, number(r) + 1);
  adjacency a{.offsets = std::vector<std::uint32_t>(std::size_t{count} + 1), .positions = {}};
  for (auto const& r : ratings) ++a.offsets[number(r) + 1];
  for (std::size_t u = 1; u < a.offsets.size(); ++u) a.offsets[u] += a.offsets[u - 1];
  a.positions.resize(ratings.size());
  auto next = a.offsets;
  for (std::uint32_t i = 0; i < ratings.size(); ++i) a.positions[next[number(ratings[i])]++] = i;
  return a;
}

}  // namespace detail

MQL4GREC_DEFINITION void rating_table::grow() {
  slots_.assign(slots_.empty() ? 1024 : 2 * slots_.size(), detail::no_rating);
  for (std::uint32_t i = 0; i < ratings_.size(); ++i) slots_[detail::rating_slot(slots_, ratings_, ratings_[i])] = i;
}

MQL4GREC_DEFINITION bool rating_table::add(raw_rating const& rating) {
  ++added_;
  if (2 * (ratings_.size() + 1) > slots_.size()) grow();
  numbered_rating const r{.user = users_.insert(rating.user), .item = items_.insert(rating.item), .time = rating.time};
  auto& slot = slots_[detail::rating_slot(slots_, ratings_, r)];
  if (slot != detail::no_rating) return false;
  expects(ratings_.size() < detail::no_rating - 1, "more than 4294967294 different ratings");
  slot = static_cast<std::uint32_t>(ratings_.size());
  ratings_.push_back(r);
  return true;
}

MQL4GREC_DEFINITION void rating_table::filter(std::vector<std::uint8_t> const& keep) {
  expects(keep.size() == ratings_.size(), "rating_table: ", keep.size(), " marks for ", ratings_.size(), " ratings");
  slots_ = {};
  std::size_t kept = 0;
  for (std::size_t i = 0; i < keep.size(); ++i)
    if (keep[i] != 0) ratings_[kept++] = ratings_[i];
  ratings_.resize(kept);
}

MQL4GREC_DEFINITION std::vector<std::uint8_t> k_core(std::vector<numbered_rating> const& ratings, core_sizes sizes) {
  expects(sizes.user >= 0 && sizes.item >= 0, "core sizes ", sizes.user, " and ", sizes.item, " must not be negative");
  struct side {
    detail::adjacency ratings;
    index_t least;
    std::vector<index_t> degree = {};
    std::vector<std::uint32_t> removed = {};  // whose ratings are still to be removed
  };
  side users{.ratings = detail::adjacency_of(ratings, [](auto const& r) { return r.user; }), .least = sizes.user};
  side items{.ratings = detail::adjacency_of(ratings, [](auto const& r) { return r.item; }), .least = sizes.item};
  for (auto* s : {&users, &items}) {
    auto const& offsets = s->ratings.offsets;
    for (std::uint32_t u = 0; u + 1 < offsets.size(); ++u) {
      s->degree.push_back(offsets[u + 1] - offsets[u]);
      if (s->degree[u] > 0 && s->degree[u] < s->least) s->removed.push_back(u);
    }
  }
  std::vector<std::uint8_t> keep(ratings.size(), 1);
  auto const lose = [](side& s, std::uint32_t u) {
    if (s.degree[u]-- == s.least) s.removed.push_back(u);
  };
  auto const remove_ratings_of = [&](side& s, std::uint32_t u) {
    auto const& offsets = s.ratings.offsets;
    for (auto i = offsets[u]; i < offsets[u + 1]; ++i) {
      auto const at = s.ratings.positions[i];
      if (std::exchange(keep[at], std::uint8_t{0}) == 0) continue;
      lose(users, ratings[at].user);
      lose(items, ratings[at].item);
    }
  };
  while (!users.removed.empty() || !items.removed.empty()) {
    auto& s = users.removed.empty() ? items : users;
    auto const u = s.removed.back();
    s.removed.pop_back();
    remove_ratings_of(s, u);
  }
  return keep;
}

}  // namespace mql4grec::catalog
