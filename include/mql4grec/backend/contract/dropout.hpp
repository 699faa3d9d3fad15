#pragma once
// Which entries a dropout site keeps is a pure function of (seed, step, site, row, column): no mask is stored, the
// backward pass draws it again, and splitting a batch over workers or devices changes nothing.
#include <cmath>
#include <cstdint>

#include "mql4grec/core/random.hpp"

namespace mql4grec {

/// One dropout site at one step. `first_row` is the place of row 0 in the whole batch.
struct dropout {
  double rate = 0;  ///< share of entries set to zero, in [0, 1); rounded to 1/65536
  std::uint64_t seed = 0;
  std::uint32_t step = 0;
  std::uint32_t site = 0;
  index_t first_row = 0;
  std::int64_t const* step_place =
      nullptr;  ///< where kernels read the step instead, in their backend's memory: recorded work can't be told another

  constexpr bool active() const { return rate > 0; }
  constexpr std::uint32_t threshold() const { return static_cast<std::uint32_t>(rate * 65536 + 0.5); }
  /// What kept entries are multiplied by, so that the mean stays.
  constexpr double scale() const { return 1.0 / (1.0 - rate); }
  /// For kernels.
  MQL4GREC_HD MQL4GREC_INLINE constexpr std::uint32_t current_step() const {
    return step_place ? static_cast<std::uint32_t>(*step_place) : step;
  }
};

/// Columns come in blocks of 128: column c of a block takes its 16 bits from worker c mod 16, word c / 32, half c / 16
/// mod 2. Sixteen neighbouring columns so come from sixteen neighbouring counters: one vector of them at a time. 7
/// rounds: the least that pass BigCrush (Salmon et al. 2011, table 2).
MQL4GREC_HD MQL4GREC_INLINE constexpr bool keeps(dropout const& site, index_t row, index_t column) {
  auto const block = static_cast<std::uint32_t>(column / 128), within = static_cast<std::uint32_t>(column % 128);
  philox_counter const counter{block * 16 + within % 16, static_cast<std::uint32_t>(site.first_row + row), site.site,
                               site.current_step()};
  std::uint32_t const word = philox<7>(counter, key_of(site.seed))[within / 32];
  std::uint32_t const bits = (within / 16) % 2 == 0 ? word & 0xffffu : word >> 16;
  return bits >= site.threshold();
}

}  // namespace mql4grec
