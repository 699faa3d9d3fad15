#pragma once
// A weight in 8-bit integers, packed once for many products. Each of its rows has a scale; each row of the other factor
// is rounded when it is multiplied.
#include <cstdint>

#include "mql4grec/backend/cpu/runtime/backend.hpp"
#include "mql4grec/backend/cpu/runtime/dispatch.hpp"

namespace mql4grec::cpu {

namespace detail {

/// alpha · weight (out, in) in panels of its rows, as wide as a tile of the instructions that it is packed for.
class int8_weight {
 public:
  /// Not packed.
  int8_weight() = default;
  /// Packs `weight` for the instructions `level`, which must not be `none`.
  int8_weight(in_matrix<backend, float> weight, double alpha, int8_instructions level);

  /// Whether the weight is packed, and for instructions that are allowed now.
  [[nodiscard]] bool usable() const {
    return level_ != int8_instructions::none && level_ <= chosen_int8_instructions();
  }
  /// y (rows, out) = alpha · x (rows, in) · weightᵀ, with the rows of x rounded. Only if usable().
  void product(backend& b, in_matrix<backend, float> x, out_matrix<backend, float> y) const;

 private:
  index_t quads() const { return (inner_ + 3) / 4; }
  template <int8_instructions Level>
  void pack(in_matrix<backend, float> weight, double alpha);
  template <int8_instructions Level, class Left>
  void multiply(Left const& left, out_matrix<backend, float> y) const;

  int8_instructions level_ = int8_instructions::none;
  index_t rows_ = 0, inner_ = 0;
  buffer<std::int32_t, host_space> words_;    // panels: (quads, rows of a panel) words of four entries
  buffer<float, host_space> scales_;          // (padded rows) alpha · scale
  buffer<std::int32_t, host_space> offsets_;  // (padded rows) 128 · Σ entries of a row
};

}  // namespace detail

}  // namespace mql4grec::cpu
