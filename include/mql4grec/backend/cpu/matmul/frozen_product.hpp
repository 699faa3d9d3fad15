#pragma once
// Products with frozen weights. A library packs both factors at each call; a weight that doesn't change is packed once,
// into panels with as many columns as a tile's registers hold. The tiles reach 90 % of peak performance, however few
// rows there are.
#include "mql4grec/backend/cpu/matmul/matmul.hpp"
#include "mql4grec/backend/cpu/operations.hpp"
#include "mql4grec/backend/cpu/primitives/small_product.hpp"

namespace mql4grec::cpu {

MQL4GREC_DEFINITION frozen_weight::frozen_weight(in_matrix<backend, float> weight, double alpha, precision products)
    : plain_{weight, alpha}, products_(products) {
  if (products == precision::bf16)
    pack_rounded();
  else if (chosen_instruction_set() == instruction_set::avx512)
    pack();
}

MQL4GREC_DEFINITION void frozen_weight::product(backend& b, in_matrix<backend, float> x,
                                                out_matrix<backend, float> y) const {
#if defined(__x86_64__) && defined(__GNUC__)
  if (pairs_.size() > 0 && has_fast_bf16()) return rounded_product(b, x, y);
  if (panels_.size() > 0 && chosen_instruction_set() == instruction_set::avx512) return panel_product(b, x, y);
#endif
  mql4grec::product const how{.transpose_b = true, .alpha = plain_.alpha};
  if (products_ == precision::bf16 && x.size() > 0) return detail::rounded_product(b, x, plain_.values, y, how);
  matmul<float>(b, x, plain_.values, y, how);
}

MQL4GREC_DEFINITION void frozen_weight::pack() {
  index_t const inner = columns();
  auto const& weight = plain_.values;
  panels_ = buffer<float, host_space>(padded_rows() * inner);
  for (index_t i = 0; i < weight.rows(); ++i) {
    float* const column = panels_.view_all().data + i / width * width * inner + i % width;
    for (index_t p = 0; p < inner; ++p) column[p * width] = static_cast<float>(plain_.alpha) * weight(i, p);
  }
}

MQL4GREC_DEFINITION void frozen_weight::pack_rounded() {
#if defined(__x86_64__) && defined(__GNUC__)
  if (!has_fast_bf16()) return;
  pairs_ = buffer<detail::bf16_pair, host_space>(padded_rows() * detail::pairs_of(columns()));
  detail::pack_right({.x = plain_.values, .transposed = true}, columns(), rows(), pairs_.view_all().data);
#endif
}

#if defined(__x86_64__) && defined(__GNUC__)
MQL4GREC_DEFINITION void frozen_weight::rounded_product(backend& b, in_matrix<backend, float> x,
                                                        out_matrix<backend, float> y) const {
  constexpr index_t max_rows = 96;  // packed, they stay in the second-level cache
  scratch_scope<backend> const scope(b.scratch());
  index_t const inner = columns();
  auto const left = take<detail::bf16_pair>(b, detail::left_size(std::min(x.rows(), max_rows), inner));
  for (index_t i = 0; i < x.rows(); i += max_rows) {
    auto const some = x.row_block(i, std::min(max_rows, x.rows() - i));
    auto const factor = detail::pack_left({.x = some, .transposed = false}, some.rows(), inner, left.data);
    detail::bf16_panels(factor, pairs_.view_all().data, detail::pairs_of(inner),
                        {y.row(i).data, y.stride, static_cast<float>(plain_.alpha), false}, some.rows(), rows());
  }
}

MQL4GREC_DEFINITION void frozen_weight::panel_product(backend& b, in_matrix<backend, float> x,
                                                      out_matrix<backend, float> y) const {
  index_t const m = x.rows(), inner = columns(), whole = rows() / lanes * lanes, rest = rows() - whole;
  detail::small_factor const left{x.data, x.stride, 1};
  auto const panel = [&](index_t column) {
    return panels_.view_all().data + column / width * width * inner + column % width;
  };
  for (index_t j = 0; j < whole; j += width)
    detail::small_product_with<detail::avx512_tile>(left, panel(j), width, y.data + j, y.stride, m,
                                                    std::min(width, whole - j), inner);
  if (rest == 0) return;
  scratch_scope<backend> const scope(b.scratch());  // the last columns: a whole register would write beyond y's rows
  auto const last = take<float>(b, m, lanes);
  detail::small_product_with<detail::avx512_tile>(left, panel(whole), width, last.data, last.stride, m, lanes, inner);
  for (index_t i = 0; i < m; ++i) std::copy_n(last.row(i).data, rest, y.row(i).data + whole);
}
#endif

template <std::same_as<float> T>
frozen_weight freeze_weight(backend& b, in_matrix<backend, T> weight, double alpha) {
  return {weight, alpha, b.products()};
}

template <std::same_as<float> T>
void frozen_product(backend& b, in_matrix<backend, T> x, frozen_weight const& weight, out_matrix<backend, T> y) {
  weight.product(b, x, y);
}

}  // namespace mql4grec::cpu
