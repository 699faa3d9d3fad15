#pragma once
// Products with frozen weights: in 8-bit integers, in bfloat16 by AMX, or with packed panels.
#include "mql4grec/backend/cpu/matmul/int8_product.hpp"
#include "mql4grec/backend/cpu/matmul/matmul.hpp"
#include "mql4grec/backend/cpu/matmul/panel_product.hpp"
#include "mql4grec/backend/cpu/operations.hpp"

namespace mql4grec::cpu {

MQL4GREC_DEFINITION frozen_weight::frozen_weight(in_matrix<backend, float> weight, double alpha, precision products)
    : plain_{weight, alpha}, products_(products) {
  if (products == precision::int8 && chosen_int8_instructions() != int8_instructions::none)
    integers_ = detail::int8_weight(weight, alpha, chosen_int8_instructions());
  else
    panels_.pack({.x = weight, .transposed = true}, alpha, products);
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
  mql4grec::product const how{.transpose_b = true, .alpha = plain_.alpha};
  if (products_ == precision::int8 && panels_.empty()) return matmul<float>(b, x, plain_.values, y, how);
  if (panels_.has_pairs() && !has_fast_bf16()) return detail::rounded_product(b, x, plain_.values, y, how);
  panels_.product(b, x, y);
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
