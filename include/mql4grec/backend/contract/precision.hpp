#pragma once
// The precision of matrix products. Only products are affected; everything else is fp32.
#include <string_view>

namespace mql4grec {
inline namespace contract {

/// The format to which matrix products of floats round their factors. Sums, and all operations other than products, are
/// fp32.
enum class precision {
  fp32,  ///< no rounding
  tf32,  ///< tensor cores of NVIDIA's GPUs: 10 bits of fraction, the range of fp32
  bf16,  ///< 7 bits of fraction, the range of fp32
  int8  ///< products with frozen weights: 8-bit integers, a scale for each row of both factors; other products are fp32
};

/// "fp32", "tf32", "bf16" or "int8".
constexpr std::string_view name_of(precision products) {
  switch (products) {
    case precision::tf32: return "tf32";
    case precision::bf16: return "bf16";
    case precision::int8: return "int8";
    case precision::fp32: break;
  }
  return "fp32";
}

/// The precision of a backend's products; fp32 for backends without a choice.
template <class B>
constexpr precision products_of([[maybe_unused]] B const& backend) {
  if constexpr (requires { backend.products(); })
    return backend.products();
  else
    return precision::fp32;
}

}  // namespace contract
}  // namespace mql4grec
