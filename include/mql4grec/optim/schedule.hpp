#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <variant>

namespace mql4grec::optim {

/// Rises linearly over the warm-up, then falls to zero along half a cosine (transformers' cosine schedule with
/// warm-up).
struct cosine_schedule {
  std::int64_t warmup = 0, total = 1;  ///< in steps

  /// What the learning rate is multiplied by at a step, the first being 0.
  double operator()(std::int64_t step) const {
    if (step < warmup) return static_cast<double>(step) / static_cast<double>(std::max<std::int64_t>(1, warmup));
    double const progress =
        static_cast<double>(step - warmup) / static_cast<double>(std::max<std::int64_t>(1, total - warmup));
    return std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * progress)));
  }
  bool operator==(cosine_schedule const&) const = default;
};

/// Rises linearly over the warm-up and stays (transformers' constant schedule with warm-up).
struct constant_schedule {
  std::int64_t warmup = 0;

  double operator()(std::int64_t step) const {
    return step < warmup ? static_cast<double>(step) / static_cast<double>(std::max<std::int64_t>(1, warmup)) : 1.0;
  }
  bool operator==(constant_schedule const&) const = default;
};

using schedule = std::variant<cosine_schedule, constant_schedule>;

inline double multiplier(schedule const& s, std::int64_t step) {
  return std::visit([step](auto const& one) { return one(step); }, s);
}

}  // namespace mql4grec::optim
