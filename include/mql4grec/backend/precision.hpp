#pragma once
#include <string_view>

namespace mql4grec {

/// What matrix products of floats round their factors to. Sums, and whatever isn't a product, are fp32 in either case.
enum class precision { fp32, bf16 };

constexpr std::string_view name_of(precision products) { return products == precision::bf16 ? "bf16" : "fp32"; }

/// What a backend's products do; a backend that has no choice says nothing and computes in fp32.
template <class B>
constexpr precision products_of([[maybe_unused]] B const& backend) {
  if constexpr (requires { backend.products(); })
    return backend.products();
  else
    return precision::fp32;
}

}  // namespace mql4grec
