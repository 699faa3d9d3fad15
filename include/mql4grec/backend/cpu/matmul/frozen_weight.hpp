#pragma once
// A weight that is packed once for many products. It copies the weight: later changes to the original have no effect,
// except where the machine lacks the instructions and the original is used.
#include <cstdint>

#include "mql4grec/backend/contract/weight.hpp"
#include "mql4grec/backend/cpu/runtime/backend.hpp"
#include "mql4grec/backend/cpu/runtime/dispatch.hpp"

namespace mql4grec::cpu {

/// alpha · weight (out, in) packed into panels (in, 64) of 64 weight rows side by side; the last panel is padded with
/// zeros. For a backend with bf16 products the panels contain bfloat16 pairs, without alpha. Where the machine lacks
/// the registers or instructions for such tiles, nothing is packed and `matmul` reads the original weight, which must
/// outlive this object.
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
  static constexpr index_t width = 4 * lanes;

  index_t padded_rows() const { return (rows() + width - 1) / width * width; }
  void pack();
  void pack_rounded();
  void rounded_product(backend& b, in_matrix<backend, float> x, out_matrix<backend, float> y) const;
  void panel_product(backend& b, in_matrix<backend, float> x, out_matrix<backend, float> y) const;

  plain_weight<host_space, float> plain_;
  precision products_;
  buffer<float, host_space> panels_;
  buffer<std::uint32_t, host_space> pairs_;
};

}  // namespace mql4grec::cpu
