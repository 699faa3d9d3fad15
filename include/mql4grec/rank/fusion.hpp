#pragma once
// Fusion of several rankings, one per modality, into one. Scores are defined per item: an item that occurs twice in a
// list, or out of order, doesn't change any score. (In ensemble.py of the released code, it does.) The order of the
// lists matters only between equal scores.
#include <concepts>
#include <functional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "mql4grec/rank/ranking.hpp"

namespace mql4grec::rank {

/// A rule that gives each item in any of the lists one score and returns the items by descending score. Items with
/// equal scores are ordered by first appearance: all of the first list, then the remaining items of the second, and so
/// on.
///
/// A rule may have a `name()`, a text with all its hyper-parameters: rules with the same name give the same scores.
/// Calibrations name the rule that they were fitted with, and need one; see rank::list_conditions.
template <class P>
concept FusionPolicy = std::regular<P> && requires(P const& policy, std::span<ranking const> lists) {
  { policy.fuse(lists) } -> std::same_as<ranking>;
};

/// The paper's rule (Section 3.3): an item in both lists has the score (s₁ + s₂) / 2 + 1, and an item in one list keeps
/// its score. When an item occurs several times in a list, its best score counts. For more than two lists: the mean
/// over the lists that contain the item, plus 1 for each of these beyond the first.
struct average_plus_one {
  /// The fused ranking of all items in `lists`, best first.
  [[nodiscard]] ranking fuse(std::span<ranking const> lists) const;
  /// "average_plus_one".
  [[nodiscard]] std::string name() const { return "average_plus_one"; }
  bool operator==(average_plus_one const&) const = default;
};

/// Fusion of probabilities. In each list, p(item) = exp(sharpness · s), renormalized over the items of the list. The
/// score of an item is the logarithm of its mean p over all lists, with p = 0 in lists that don't contain it. So a list
/// with a peaked distribution has more weight than one with a flat distribution.
///
/// `weights` replace the mean by a weighted sum; they can be learned on the validation items.
struct calibrated {
  /// The factor on scores. When scores were divided by the length of the sequence, a sharpness of that length restores
  /// log p.
  double sharpness = 1;
  /// By list, at least 0 and not all 0; empty: equal weights. Only their ratios matter for the order.
  std::vector<double> weights = {};

  /// The fused ranking of all items in `lists`, best first. Throws error if there are weights, but not one for each
  /// list, if a weight is negative or not finite, or if all are 0.
  [[nodiscard]] ranking fuse(std::span<ranking const> lists) const;
  /// "calibrated, sharpness 5, weights 0.25 0.75".
  [[nodiscard]] std::string name() const;
  bool operator==(calibrated const&) const = default;
};

/// A FusionPolicy of any type, chosen at run time. The default is the paper's rule. Copies are independent.
class any_fusion {
 public:
  /// The paper's rule.
  any_fusion() : any_fusion(average_plus_one()) {}
  /// Implicit, so that a policy can be used wherever an any_fusion is expected.
  template <class P>
    requires(!std::same_as<std::remove_cvref_t<P>, any_fusion> && FusionPolicy<P>)
  any_fusion(P policy)  // NOLINT
      : name_(name_of(policy)),
        fuse_([policy = std::move(policy)](std::span<ranking const> lists) { return policy.fuse(lists); }) {}

  /// The fused ranking of all items in `lists`, best first.
  [[nodiscard]] ranking fuse(std::span<ranking const> lists) const { return fuse_(lists); }
  /// That of the policy; empty if it has none.
  [[nodiscard]] std::string const& name() const { return name_; }

 private:
  template <class P>
  static std::string name_of(P const& policy) {
    if constexpr (requires { std::string(policy.name()); })
      return std::string(policy.name());
    else
      return {};
  }

  std::string name_;
  std::function<ranking(std::span<ranking const>)> fuse_;
};

namespace detail {

/// The shortest text that is read as the same number.
std::string number_text(double number);

}  // namespace detail

static_assert(FusionPolicy<average_plus_one> && FusionPolicy<calibrated>);

}  // namespace mql4grec::rank

#if !MQL4GREC_COMPILED
#include "mql4grec/rank/fusion.inl.hpp"
#endif
