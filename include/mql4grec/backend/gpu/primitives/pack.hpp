#pragma once
// Vector loads of several entries.
#include "mql4grec/core/macros.hpp"

namespace mql4grec::gpu::detail {

/// N entries that one instruction loads, up to 16 bytes. The address must be aligned accordingly.
template <class T, int N>
struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) pack {
  T at[N];
};
template <int N, class T>
MQL4GREC_HD pack<T, N> load(T const* from) {
  return *reinterpret_cast<pack<T, N> const*>(from);
}

}  // namespace mql4grec::gpu::detail
