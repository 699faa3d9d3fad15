#pragma once
// Products with weights in 8-bit integers.
#include <algorithm>
#include <cmath>

#include "mql4grec/backend/cpu/matmul/int8_weight.hpp"
#include "mql4grec/backend/cpu/primitives/int8_tile.hpp"
#include "mql4grec/core/macros.hpp"

namespace mql4grec::cpu::detail {

MQL4GREC_DEFINITION int8_weight::int8_weight(in_matrix<backend, float> weight, double alpha, int8_instructions level)
    : level_(level), rows_(weight.rows()), inner_(weight.columns()) {
#if defined(__x86_64__) && defined(__GNUC__)
  if (level == int8_instructions::avx512_vnni) pack<int8_instructions::avx512_vnni>(weight, alpha);
  if (level == int8_instructions::avx_vnni) pack<int8_instructions::avx_vnni>(weight, alpha);
  if (level == int8_instructions::avx2) pack<int8_instructions::avx2>(weight, alpha);
#else
  (void)alpha;
#endif
}

MQL4GREC_DEFINITION void int8_weight::product(backend& b, in_matrix<backend, float> x,
                                              out_matrix<backend, float> y) const {
  scratch_scope<backend> const scope(b.scratch());
  index_t const m = x.rows(), stride = quads() * 4;
  auto const bytes = take<std::uint8_t>(b, m * stride);
  auto const scales = take<float>(b, m);
  for (index_t i = 0; i < m; ++i)
    dispatch<quantize_row_kernel>(x.row(i).data, inner_, bytes.data + i * stride, scales.data + i);
  int8_left const left{bytes.data, stride, scales.data};
#if defined(__x86_64__) && defined(__GNUC__)
  switch (level_) {
    case int8_instructions::avx512_vnni: return multiply<int8_instructions::avx512_vnni>(left, y);
    case int8_instructions::avx_vnni: return multiply<int8_instructions::avx_vnni>(left, y);
    case int8_instructions::avx2: return multiply<int8_instructions::avx2>(left, y);
    case int8_instructions::none: break;
  }
#else
  (void)left, (void)y;
#endif
}

#if defined(__x86_64__) && defined(__GNUC__)
template <int8_instructions Level>
void int8_weight::pack(in_matrix<backend, float> weight, double alpha) {
  constexpr index_t width = int8_panel_columns(Level);
  constexpr float highest_entry = Level == int8_instructions::avx2 ? 63.f : 127.f;
  index_t const padded_rows = (rows_ + width - 1) / width * width;
  words_ = buffer<std::int32_t, host_space>(padded_rows * quads());
  scales_ = buffer<float, host_space>(padded_rows);
  offsets_ = buffer<std::int32_t, host_space>(padded_rows);
  auto* const entries = reinterpret_cast<std::int8_t*>(words_.view_all().data);
  for (index_t i = 0; i < rows_; ++i) {
    float highest = 0;
    bool finite = true;  // otherwise the scale is NaN, and so is a column of the product
    for (index_t p = 0; p < inner_; ++p) {
      highest = std::max(highest, std::abs(weight(i, p)));
      finite = finite && std::isfinite(weight(i, p));
    }
    float const factor = highest > 1e-30f ? highest_entry / highest : 0.f;
    std::int8_t* const column = entries + (i / width * width * quads() + i % width) * 4;
    std::int32_t sum = 0;
    for (index_t p = 0; p < inner_; ++p) {
      auto const entry = static_cast<std::int8_t>(finite ? std::nearbyint(weight(i, p) * factor) : 0.f);
      column[p / 4 * width * 4 + p % 4] = entry;
      sum += entry;
    }
    scales_.view_all()(i) = finite ? static_cast<float>(alpha) * highest / highest_entry : NAN;
    offsets_.view_all()(i) = 128 * sum;
  }
}

template <int8_instructions Level, class Left>
void int8_weight::multiply(Left const& left, out_matrix<backend, float> y) const {
  constexpr index_t width = int8_panel_columns(Level);
  for (index_t j = 0; j < rows_; j += width) {
    int8_panel const panel{words_.view_all().data + j * quads(), quads(), scales_.view_all().data + j,
                           offsets_.view_all().data + j};
    int8_columns<Level>(left, panel, {y.data + j, y.stride, std::min(width, rows_ - j)}, y.rows());
  }
}
#endif

}  // namespace mql4grec::cpu::detail
