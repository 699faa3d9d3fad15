#pragma once
// The precision of matrix products. Only products are affected; everything else is fp32.
#include <string_view>

namespace mql4grec {
inline namespace contract {

/// The format to which matrix products of floats round their factors: fp32 (no rounding), TF32 (tensor cores of
/// NVIDIA's GPUs; 10 bits of fraction, the range of fp32) or bf16 (7 bits of fraction). Sums, and all operations other
/// than products, are fp32.
enum class precision { fp32, tf32, bf16 };

/// "fp32", "tf32" or "bf16".
constexpr std::string_view name_of(precision products) {
  return products == precision::bf16 ? "bf16" : products == precision::tf32 ? "tf32" : "fp32";
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
