#pragma once
// A library packs both factors of a product at every call. A weight that stays the same is packed once, into panels of as many
// columns as the registers of a tile hold; the tiles then run at nine tenths of the peak, however few rows there are.
#include <vector>

#include "mql4grec/backend/cpu/matmul.hpp"
#include "mql4grec/backend/cpu/small_product.hpp"
#include "mql4grec/backend/reference/frozen_weight.hpp"

namespace mql4grec::cpu {

/// alpha · weight (out, in) in panels: 64 rows of it side by side, (in, 64), the last ones filled up with zeros. Without AVX-512
/// the registers are too few for such tiles, and the weight stays where it is, for the BLAS.
class frozen_weight {
 public:
  frozen_weight(in_matrix<backend, float> weight, double alpha) : plain_{weight, alpha} {
    if (chosen_instruction_set() != instruction_set::avx512) return;
    index_t const inner = weight.columns();
    panels_ = buffer<float, host_space>((weight.rows() + width - 1) / width * width * inner);
    for (index_t i = 0; i < weight.rows(); ++i) {
      float* const column = panels_.view_all().data + i / width * width * inner + i % width;
      for (index_t p = 0; p < inner; ++p) column[p * width] = static_cast<float>(alpha) * weight(i, p);
    }
  }

  index_t rows() const { return plain_.rows(); }
  index_t columns() const { return plain_.columns(); }

  /// y (rows, out) = alpha · x (rows, in) · weightᵀ
  void product(backend& b, in_matrix<backend, float> x, out_matrix<backend, float> y) const {
#if defined(__x86_64__) && defined(__GNUC__)
    if (panels_.size() > 0 && chosen_instruction_set() == instruction_set::avx512) return panel_product(b, x, y);
#endif
    matmul<float>(b, x, plain_.values, y, {.transpose_b = true, .alpha = plain_.alpha});
  }

 private:
  static constexpr index_t width = 4 * lanes;

#if defined(__x86_64__) && defined(__GNUC__)
  void panel_product(backend& b, in_matrix<backend, float> x, out_matrix<backend, float> y) const {
    index_t const m = x.rows(), inner = columns(), whole = rows() / lanes * lanes, rest = rows() - whole;
    detail::small_factor const left{x.data, x.stride, 1};
    auto const panel = [&](index_t column) { return panels_.view_all().data + column / width * width * inner + column % width; };
    for (index_t j = 0; j < whole; j += width)
      detail::small_product_with<detail::avx512_tile>(left, panel(j), width, y.data + j, y.stride, m, std::min(width, whole - j), inner);
    if (rest == 0) return;
    scratch_scope<backend> const scope(b.scratch());  // the last columns: a whole register would write beyond y's rows
    auto const last = b.scratch().take<float>(m, lanes);
    detail::small_product_with<detail::avx512_tile>(left, panel(whole), width, last.data, last.stride, m, lanes, inner);
    for (index_t i = 0; i < m; ++i) std::copy_n(last.row(i).data, rest, y.row(i).data + whole);
  }
#endif

  plain_weight<host_space, float> plain_;
  buffer<float, host_space> panels_;
};

template <std::same_as<float> T>
frozen_weight freeze_weight(backend&, in_matrix<backend, T> weight, double alpha) {
  return {weight, alpha};
}

template <std::same_as<float> T>
void frozen_product(backend& b, in_matrix<backend, T> x, frozen_weight const& weight, out_matrix<backend, T> y) {
  weight.product(b, x, y);
}

}  // namespace mql4grec::cpu
