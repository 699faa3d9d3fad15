#pragma once
// Products with frozen weights. A library packs both factors at each call; a weight that doesn't change is packed once,
// into panels that the tiles of small_product.hpp read from beginning to end. They reach 85 to 95 % of the
// peak of any instruction set, however few rows there are; a single row is limited by reading the weight.
#include "mql4grec/backend/cpu/matmul/int8_product.hpp"
#include "mql4grec/backend/cpu/matmul/matmul.hpp"
#include "mql4grec/backend/cpu/operations.hpp"
#include "mql4grec/backend/cpu/primitives/small_product.hpp"

namespace mql4grec::cpu {

MQL4GREC_DEFINITION frozen_weight::frozen_weight(in_matrix<backend, float> weight, double alpha, precision products)
    : plain_{weight, alpha}, products_(products) {
  if (products == precision::bf16 && has_fast_bf16() && weight.size() > 0)
    pack_pairs();
  else if (products == precision::int8 && chosen_int8_instructions() != int8_instructions::none)
    integers_ = detail::int8_weight(weight, alpha, chosen_int8_instructions());
  else
    pack();
#if MQL4GREC_HAS_ONEDNN
  if (products == precision::bf16 && detail::prefers_amx()) {
    halves_ = buffer<std::uint16_t, host_space>(rows() * detail::even(columns()));
    detail::store_as_bf16(weight, {halves_.view_all().data, rows(), detail::even(columns())});
  }
#endif
}

MQL4GREC_DEFINITION void frozen_weight::product(backend& b, in_matrix<backend, float> x,
                                                out_matrix<backend, float> y) const {
  if (y.size() == 0) return;
#if MQL4GREC_HAS_ONEDNN
  if (halves_.size() > 0 && detail::prefers_amx(y.rows(), y.columns(), x.columns())) {
    scratch_scope<backend> const scope(b.scratch());
    auto const factor = detail::stored_as_bf16(b, x, detail::inner_dimension::columns);
    in_matrix<backend, std::uint16_t> const weight(halves_.view_all().data, rows(), detail::even(columns()));
    return detail::amx_product(b, {factor, false}, {weight, true}, y, {.alpha = plain_.alpha});
  }
#endif
  if (integers_.usable()) return integers_.product(b, x, y);
  if (products_ != precision::bf16 && panels_.size() > 0) return panel_product(b, x, y);
  if (products_ == precision::int8)
    return matmul<float>(b, x, plain_.values, y, {.transpose_b = true, .alpha = plain_.alpha});
#if defined(__x86_64__) && defined(__GNUC__)
  if (pairs_.size() > 0 && has_fast_bf16()) return pair_product(b, x, y);
#endif
  if (pairs_.size() > 0)
    return detail::rounded_product(b, x, plain_.values, y, {.transpose_b = true, .alpha = plain_.alpha});
  scratch_scope<backend> const scope(b.scratch());
  panel_product(b, detail::rounded_to_bf16(b, x), y);
}

MQL4GREC_DEFINITION void frozen_weight::pack() {
  index_t const inner = columns(), in_fours = inner / 4 * 4;
  auto const& weight = plain_.values;
  panels_ = buffer<float, host_space>(padded_rows() * inner);
  for (index_t i = 0; i < rows(); i += lanes) {
    index_t const some = std::min(lanes, rows() - i);
    float* const place = panels_.view_all().data + panel_place(i);
    detail::transpose(weight.row(i).data, weight.stride, some, in_fours, place, lanes);
    for (index_t p = in_fours; p < inner; ++p)
      for (index_t r = 0; r < some; ++r) place[p * lanes + r] = weight(i + r, p);
  }
  auto const all = panels_.view_all();
  if (products_ == precision::bf16) dispatch<detail::round_to_bf16_kernel>(all.data, all.size(), all.data);
  if (plain_.alpha != 1)
    for (index_t i = 0; i < all.size(); ++i) all(i) *= static_cast<float>(plain_.alpha);
}

MQL4GREC_DEFINITION void frozen_weight::pack_pairs() {
#if defined(__x86_64__) && defined(__GNUC__)
  index_t const panels = (rows() + detail::bf16_panel - 1) / detail::bf16_panel;
  pairs_ = buffer<detail::bf16_pair, host_space>(panels * detail::bf16_panel * detail::pairs_of(columns()));
  detail::pack_right({.x = plain_.values, .transposed = true}, columns(), rows(), pairs_.view_all().data);
#endif
}

#if defined(__x86_64__) && defined(__GNUC__)
MQL4GREC_DEFINITION void frozen_weight::pair_product(backend& b, in_matrix<backend, float> x,
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
#endif

MQL4GREC_DEFINITION void frozen_weight::panel_product(backend& b, in_matrix<backend, float> x,
                                                      out_matrix<backend, float> y) const {
  index_t const m = x.rows(), inner = columns(), whole = rows() / lanes * lanes, rest = rows() - whole;
  detail::small_right_factor const panels{panels_.view_all().data, lanes, lanes * inner};
  detail::small_product({x.data, x.stride, 1}, panels, {y.data, y.stride}, {m, whole, inner});
  if (rest == 0) return;
  scratch_scope<backend> const scope(b.scratch());  // the last columns: a whole register would write beyond y's rows
  auto const last = take<float>(b, m, lanes);
  detail::small_product({x.data, x.stride, 1}, {panels.column(whole), lanes}, {last.data, last.stride},
                        {m, lanes, inner});
  for (index_t i = 0; i < m; ++i) std::copy_n(last.row(i).data, rest, y.row(i).data + whole);
}

template <std::same_as<float> T>
frozen_weight freeze_weight(backend& b, in_matrix<backend, T> weight, double alpha) {
  return {weight, alpha, b.products()};
}

template <std::same_as<float> T>
void frozen_product(backend& b, in_matrix<backend, T> x, frozen_weight const& weight, out_matrix<backend, T> y) {
  weight.product(b, x, y);
}

}  // namespace mql4grec::cpu
