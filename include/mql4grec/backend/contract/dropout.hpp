#pragma once
// Dropout without stored masks. Whether an entry is kept is a pure function of (seed, step, site, row, column): the
// backward pass computes the mask again, and splitting a batch over workers or devices changes nothing.
#include <cmath>
#include <cstdint>

#include "mql4grec/core/random.hpp"

namespace mql4grec {
inline namespace contract {

/// One dropout site (a place in the network where dropout is applied) at one training step.
struct dropout {
  double rate = 0;         ///< fraction of entries set to zero, in [0, 1); rounded to a multiple of 1/65536
  std::uint64_t seed = 0;  ///< the run's seed
  std::uint32_t step = 0;  ///< the training step
  std::uint32_t site = 0;  ///< the site's number; different sites draw independent masks
  index_t first_row = 0;   ///< the number of row 0 in the whole batch, when this is only a part of it
  /// When not null, the address in the backend's memory from which kernels read the step instead of `step`: the
  /// arguments of captured work cannot change, but this value can.
  std::int64_t const* step_place = nullptr;

  /// Whether anything is dropped.
  constexpr bool active() const { return rate > 0; }
  /// An entry is dropped when its 16 random bits are below this.
  constexpr std::uint32_t threshold() const { return static_cast<std::uint32_t>(rate * 65536 + 0.5); }
  /// The factor of kept entries, 1 / (1 − rate), which preserves the mean.
  constexpr double scale() const { return 1.0 / (1.0 - rate); }
  /// The step, as kernels read it.
  MQL4GREC_HD MQL4GREC_INLINE constexpr std::uint32_t current_step() const {
    return step_place ? static_cast<std::uint32_t>(*step_place) : step;
  }
};

/// Whether the entry (row, column) is kept. Columns are processed in blocks of 128: column c of a block uses the random
/// word c / 32 of counter c mod 16, and the half c / 16 mod 2 of that word. Sixteen neighbouring columns therefore use
/// sixteen neighbouring counters, which a vector unit computes together. Philox has 7 rounds here, the fewest that pass
/// BigCrush (Salmon et al. 2011, table 2).
MQL4GREC_HD MQL4GREC_INLINE constexpr bool keeps(dropout const& site, index_t row, index_t column) {
  auto const block = static_cast<std::uint32_t>(column / 128), within = static_cast<std::uint32_t>(column % 128);
  philox_counter const counter{block * 16 + within % 16, static_cast<std::uint32_t>(site.first_row + row), site.site,
                               site.current_step()};
  std::uint32_t const word = philox<7>(counter, key_of(site.seed))[within / 32];
  std::uint32_t const bits = (within / 16) % 2 == 0 ? word & 0xffffu : word >> 16;
  return bits >= site.threshold();
}

}  // namespace contract
}  // namespace mql4grec
