#pragma once
// A right factor that is packed once for many products. A library packs both factors at each call.
#include <cstdint>

#include "mql4grec/backend/contract/precision.hpp"
#include "mql4grec/backend/cpu/runtime/backend.hpp"

namespace mql4grec::cpu::detail {

/// A factor op(x) of a product.
struct product_factor {
  in_matrix<backend, float> x;
  bool transposed;

  /// op(x) from a row and a column on.
  product_factor from(index_t row, index_t column) const {
    if (transposed) std::swap(row, column);
    return {{x.data + row * x.stride + column, x.rows() - row, x.columns() - column, x.stride}, transposed};
  }
};

/// alpha · op(W) (inner, n) in panels (inner, 16) of 16 columns side by side; the last panel is padded with zeros. The
/// tiles of small_product.hpp read them from beginning to end, and reach 85 to 95 % of the peak of any instruction set,
/// however few rows there are. For bf16 products the entries are rounded, and if the machine has instructions for them,
/// the panels contain pairs of 64 columns, without alpha.
class weight_panels {
 public:
  /// Packs alpha · op(W). Memory of an earlier packing with the same sizes and precision is used again.
  void pack(product_factor const& of, double alpha, precision products);

  /// Whether nothing has been packed, or a factor without entries.
  bool empty() const { return !has_pairs_ && floats_.size() == 0; }
  /// Whether the panels are pairs of bfloat16, which multiply only if has_fast_bf16().
  bool has_pairs() const { return has_pairs_; }

  /// y (m, n) = x (m, inner) · alpha · op(W); in bf16, x is rounded as well.
  void product(backend& b, in_matrix<backend, float> x, out_matrix<backend, float> y) const;

 private:
  void pack_rows(in_matrix<backend, float> w, index_t j, float* to) const;
  void pack_columns(in_matrix<backend, float> w, index_t j, float* to) const;
  void pack_pairs(product_factor const& of);
  void multiply_floats(backend& b, in_matrix<backend, float> x, out_matrix<backend, float> y) const;
  void multiply_pairs(backend& b, in_matrix<backend, float> x, out_matrix<backend, float> y) const;

  index_t inner_ = 0, n_ = 0;
  float alpha_ = 1;
  bool has_pairs_ = false, rounds_ = false;
  buffer<float, host_space> floats_;
  buffer<std::uint32_t, host_space> pairs_;
};

}  // namespace mql4grec::cpu::detail
