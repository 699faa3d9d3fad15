#pragma once
#include <string_view>

namespace mql4grec {

/// What matrix products of floats round their factors to: fp32 not at all, TF32 (tensor cores of NVIDIA's GPUs) to 10
/// bits of fraction with the range of fp32, bf16 to 7 bits. Sums, and whatever isn't a product, are fp32 in any case.
enum class precision { fp32, tf32, bf16 };

constexpr std::string_view name_of(precision products) {
  return products == precision::bf16 ? "bf16" : products == precision::tf32 ? "tf32" : "fp32";
}

/// What a backend's products do; a backend that has no choice says nothing and computes in fp32.
template <class B>
constexpr precision products_of([[maybe_unused]] B const& backend) {
  if constexpr (requires { backend.products(); })
    return backend.products();
  else
    return precision::fp32;
}

}  // namespace mql4grec
