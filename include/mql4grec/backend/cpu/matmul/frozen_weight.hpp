#pragma once
// A weight that is packed once for many products. It copies the weight: later changes to the original have no effect.
#include <cstdint>

#include "mql4grec/backend/contract/weight.hpp"
#include "mql4grec/backend/cpu/matmul/int8_weight.hpp"
#include "mql4grec/backend/cpu/matmul/weight_panels.hpp"
#include "mql4grec/backend/cpu/runtime/backend.hpp"
#include "mql4grec/backend/cpu/runtime/dispatch.hpp"

namespace mql4grec::cpu {

/// alpha · weight (out, in), packed; see weight_panels. The layout of fp32 is the same for every instruction set, which
/// may change between packing and a product. For a backend with bf16 products the entries are rounded to bfloat16, and
/// where oneDNN may use AMX, a copy in bfloat16 is kept for it. For a backend with int8 products, panels of 8-bit
/// integers are packed if the machine has instructions for them, else fp32. The original weight must outlive this
/// object: a product reads it if those instructions are no longer allowed.
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
  plain_weight<host_space, float> plain_;
  precision products_;
  detail::weight_panels panels_;
  buffer<std::uint16_t, host_space> halves_;  // (out, in rounded up to an even number)
  detail::int8_weight integers_;
};

}  // namespace mql4grec::cpu
