#pragma once
#include <cstdint>

#include "mql4grec/backend/contract/weight.hpp"
#include "mql4grec/backend/cpu/runtime/backend.hpp"
#include "mql4grec/backend/cpu/runtime/dispatch.hpp"

namespace mql4grec::cpu {

/// alpha · weight (out, in) in panels: 64 rows of it side by side, (in, 64), the last ones filled up with zeros;
/// rounded to bf16, in pairs and without alpha, for a backend whose products do that. Where the machine hasn't got the
/// registers or the instructions for such tiles, the weight stays where it is, for `matmul`.
class frozen_weight {
 public:
  frozen_weight(in_matrix<backend, float> weight, double alpha, precision products = precision::fp32);

  index_t rows() const { return plain_.rows(); }
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
