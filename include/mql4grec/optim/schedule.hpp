#pragma once
// Learning rate schedules: a factor for the learning rate at each step. Steps are counted from 0.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <variant>

namespace mql4grec::optim {

/// Increases linearly during the warm-up, then decreases to zero along half a cosine (transformers' cosine schedule
/// with warm-up).
struct cosine_schedule {
  std::int64_t warmup = 0, total = 1;  ///< in steps

  /// The factor of the learning rate at a step, counted from 0.
  double operator()(std::int64_t step) const {
    if (step < warmup) return static_cast<double>(step) / static_cast<double>(std::max<std::int64_t>(1, warmup));
    double const progress =
        static_cast<double>(step - warmup) / static_cast<double>(std::max<std::int64_t>(1, total - warmup));
    return std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * progress)));
  }
  bool operator==(cosine_schedule const&) const = default;
};

/// Increases linearly during the warm-up, then is constant (transformers' constant schedule with warm-up).
struct constant_schedule {
  std::int64_t warmup = 0;  ///< in steps

  /// The factor of the learning rate at a step, counted from 0.
  double operator()(std::int64_t step) const {
    return step < warmup ? static_cast<double>(step) / static_cast<double>(std::max<std::int64_t>(1, warmup)) : 1.0;
  }
  bool operator==(constant_schedule const&) const = default;
};

/// One of the schedules.
using schedule = std::variant<cosine_schedule, constant_schedule>;

/// The factor of the learning rate at a step, counted from 0.
inline double multiplier(schedule const& s, std::int64_t step) {
  return std::visit([step](auto const& one) { return one(step); }, s);
}

}  // namespace mql4grec::optim
