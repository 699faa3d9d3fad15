#pragma once
// Floating-point numbers of two bytes, as files contain them.
#include <bit>
#include <cmath>
#include <cstdint>

#include "mql4grec/core/view.hpp"

namespace mql4grec {
inline namespace core {
namespace detail {

struct half {  // IEEE 754 binary16
  std::uint16_t bits;
  explicit operator float() const {
    std::uint32_t const sign = std::uint32_t{bits} >> 15 << 31, exponent = (bits >> 10) & 31u, fraction = bits & 1023u;
    if (exponent == 0)
      return std::copysign(static_cast<float>(fraction) * 0x1p-24f, std::bit_cast<float>(sign | 0x3F800000u));
    return std::bit_cast<float>(sign | (exponent == 31 ? 0xFFu : exponent + 112) << 23 | fraction << 13);
  }
};
struct bfloat16 {  // the upper half of a binary32
  std::uint16_t bits;
  explicit operator float() const { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
};

/// Converts to float, exactly. NaN stays NaN.
void widen(host_vector_view<half const> from, host_vector_view<float> to);

/// The portable loop, and the version for machines with F16C; `widen` selects one.
void widen_portably(host_vector_view<half const> from, host_vector_view<float> to);
bool has_f16c();
void widen_by_f16c(host_vector_view<half const> from, host_vector_view<float> to);

}  // namespace detail
}  // namespace core
}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/core/detail/half.inl.hpp"
#endif
