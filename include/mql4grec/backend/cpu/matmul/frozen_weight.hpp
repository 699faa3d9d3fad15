#pragma once
// A weight that is packed once for many products. It copies the weight: later changes to the original have no effect.
#include <cstdint>

#include "mql4grec/backend/contract/weight.hpp"
#include "mql4grec/backend/cpu/matmul/int8_weight.hpp"
#include "mql4grec/backend/cpu/runtime/backend.hpp"
#include "mql4grec/backend/cpu/runtime/dispatch.hpp"

namespace mql4grec::cpu {

/// alpha · weight (out, in) packed into panels (in, 16) of 16 weight rows side by side; the last panel is padded with
/// zeros. The layout is the same for every instruction set, which may change between packing and a product. For a
/// backend with bf16 products the entries are rounded to bfloat16; if the machine has instructions for them, the panels
/// contain bfloat16 pairs of 64 rows, without alpha, and where oneDNN may use AMX, a copy in bfloat16 is kept for it.
/// For a backend with int8 products, panels of 8-bit integers are packed if the machine has instructions for them, else
/// fp32. The original weight must outlive this object: a product reads it if those instructions are no longer allowed.
class frozen_weight {
 public:
  /// Packs `weight` (out, in).
  frozen_weight(in_matrix<backend, float> weight, double alpha, precision products = precision::fp32);

  /// The number of outputs.
  index_t rows() const { return plain_.rows(); }
  /// The number of inputs.
  index_t columns() const { return plain_.columns(); }

  /// y (rows, out) = alpha · x (rows, in) · weightᵀ
  void product(backend& b, in_matrix<backend, float> x, out_matrix<backend, float> y) const;

 private:
  /// The position in panels_ of weight row i, for input 0.
  index_t panel_place(index_t i) const { return i / lanes * lanes * columns() + i % lanes; }
  index_t padded_rows() const { return (rows() + lanes - 1) / lanes * lanes; }
  void pack();
  void pack_pairs();
  void pair_product(backend& b, in_matrix<backend, float> x, out_matrix<backend, float> y) const;
  void panel_product(backend& b, in_matrix<backend, float> x, out_matrix<backend, float> y) const;

  plain_weight<host_space, float> plain_;
  precision products_;
  buffer<float, host_space> panels_;
  buffer<std::uint32_t, host_space> pairs_;
  buffer<std::uint16_t, host_space> halves_;  // (out, in rounded up to an even number)
  detail::int8_weight integers_;
};

}  // namespace mql4grec::cpu
