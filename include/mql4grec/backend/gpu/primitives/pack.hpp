#pragma once
#include "mql4grec/core/macros.hpp"

namespace mql4grec::gpu::detail {

/// Entries that are loaded at once.
template <class T, int N>
struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) pack {
  T at[N];
};
template <int N, class T>
MQL4GREC_HD pack<T, N> load(T const* from) {
  return *reinterpret_cast<pack<T, N> const*>(from);
}

}  // namespace mql4grec::gpu::detail
