#pragma once
// One ranking from several, one for each modality. The rules are stated per item: one that occurs twice in a list, or
// out of order, changes no score (in the released ensemble.py it does). List order decides between equal scores alone.
#include <concepts>
#include <span>

#include "mql4grec/rank/ranking.hpp"

namespace mql4grec {

/// Gives every item that occurs in some list one score and ranks by it, highest first. Equal scores stand in the order
/// of first appearance, the lists one after the other: text before image, then by place.
template <class P>
concept FusionPolicy = std::regular<P> && requires(P const& policy, std::span<ranking const> lists) {
  { policy.fuse(lists) } -> std::same_as<ranking>;
};

/// The paper's rule (Section 3.3): an item in both lists scores (s₁ + s₂) / 2 + 1, any other its own score; an item's
/// score in a list is its best there. With more lists: the mean over those that hold it, plus 1 for each beyond the
/// first.
struct average_plus_one {
  ranking fuse(std::span<ranking const> lists) const;
  bool operator==(average_plus_one const&) const = default;
};

/// Probabilities instead of bonuses: in each list p(item) = exp(sharpness · s) renormalised over the list's items, and
/// an item scores log of its mean p over all lists, absence counting as p = 0. A list that is sure of itself so weighs
/// more than one that spreads. With scores divided by the length of the sequence, a sharpness of that length restores
/// log p.
struct calibrated {
  double sharpness = 1;

  ranking fuse(std::span<ranking const> lists) const;
  bool operator==(calibrated const&) const = default;
};

static_assert(FusionPolicy<average_plus_one> && FusionPolicy<calibrated>);

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/rank/fusion.inl.hpp"
#endif
