#pragma once
// The definitions of weight_panels.hpp and packed_weights.hpp.
#include <algorithm>

#include "mql4grec/backend/cpu/matmul/bf16_product.hpp"
#include "mql4grec/backend/cpu/matmul/packed_weights.hpp"
#include "mql4grec/backend/cpu/matmul/weight_panels.hpp"
#include "mql4grec/backend/cpu/primitives/small_product.hpp"
#include "mql4grec/core/macros.hpp"

namespace mql4grec::cpu::detail {

/// Allocates only if the size changes.
template <class T>
void resize(buffer<T, host_space>& of, index_t size) {
  if (of.size() != size) of = buffer<T, host_space>(size);
}

MQL4GREC_DEFINITION void weight_panels::pack(product_factor const& of, double alpha, precision products) {
  inner_ = of.transposed ? of.x.columns() : of.x.rows();
  n_ = of.transposed ? of.x.rows() : of.x.columns();
  alpha_ = static_cast<float>(alpha);
  has_pairs_ = products == precision::bf16 && has_fast_bf16() && of.x.size() > 0;
  rounds_ = products == precision::bf16 && !has_pairs_;
  if (has_pairs_) return pack_pairs(of);
  index_t const size = padded(n_) * inner_;
  resize(floats_, size);
  float* const to = floats_.view_all().data;
  for (index_t j = 0; j < n_; j += lanes)
    of.transposed ? pack_rows(of.x, j, to + j * inner_) : pack_columns(of.x, j, to + j * inner_);
  if (rounds_) dispatch<round_to_bf16_kernel>(static_cast<float const*>(to), size, to);
  if (alpha_ != 1)
    for (index_t i = 0; i < size; ++i) to[i] *= alpha_;
}

MQL4GREC_DEFINITION void weight_panels::product(backend& b, in_matrix<backend, float> x,
                                                out_matrix<backend, float> y) const {
  if (has_pairs_) return multiply_pairs(b, x, y);
  scratch_scope<backend> const scope(b.scratch());
  multiply_floats(b, rounds_ ? rounded_to_bf16(b, x) : x, y);
}

/// A panel of Wᵀ: 16 rows of W from j on.
MQL4GREC_DEFINITION void weight_panels::pack_rows(in_matrix<backend, float> w, index_t j, float* to) const {
  index_t const in_fours = inner_ / 4 * 4, some = std::min(lanes, n_ - j);
  transpose(w.row(j).data, w.stride, some, in_fours, to, lanes);
  for (index_t p = in_fours; p < inner_; ++p)
    for (index_t r = 0; r < lanes; ++r) to[p * lanes + r] = r < some ? w(j + r, p) : 0.f;
}

/// A panel of W: 16 columns of W from j on.
MQL4GREC_DEFINITION void weight_panels::pack_columns(in_matrix<backend, float> w, index_t j, float* to) const {
  index_t const some = std::min(lanes, n_ - j);
  for (index_t p = 0; p < inner_; ++p, to += lanes) {
    float const* const from = w.row(p).data + j;
    if (some == lanes) {
      std::copy_n(from, lanes, to);
    } else {
      std::copy_n(from, some, to);
      std::fill(to + some, to + lanes, 0.f);
    }
  }
}

MQL4GREC_DEFINITION void weight_panels::multiply_floats(backend& b, in_matrix<backend, float> x,
                                                        out_matrix<backend, float> y) const {
  index_t const m = x.rows(), whole = n_ / lanes * lanes, rest = n_ - whole;
  small_right_factor const panels{floats_.view_all().data, lanes, lanes * inner_};
  small_product({x.data, x.stride, 1}, panels, {y.data, y.stride}, {m, whole, inner_});
  if (rest == 0) return;
  auto const last = take<float>(b, m, lanes);  // the last columns: a whole register would write beyond y's rows
  small_product({x.data, x.stride, 1}, {panels.column(whole), lanes}, {last.data, last.stride}, {m, lanes, inner_});
  for (index_t i = 0; i < m; ++i) std::copy_n(last.row(i).data, rest, y.row(i).data + whole);
}

#if defined(__x86_64__) && defined(__GNUC__)
MQL4GREC_DEFINITION void weight_panels::pack_pairs(product_factor const& of) {
  index_t const panels = (n_ + bf16_panel - 1) / bf16_panel;
  resize(pairs_, panels * bf16_panel * pairs_of(inner_));
  pack_right(of, inner_, n_, pairs_.view_all().data);
}

MQL4GREC_DEFINITION void weight_panels::multiply_pairs(backend& b, in_matrix<backend, float> x,
                                                       out_matrix<backend, float> y) const {
  constexpr index_t max_rows = 96;  // packed, they stay in the second-level cache
  scratch_scope<backend> const scope(b.scratch());
  auto const left = take<bf16_pair>(b, left_size(std::min(x.rows(), max_rows), inner_));
  for (index_t i = 0; i < x.rows(); i += max_rows) {
    auto const some = x.row_block(i, std::min(max_rows, x.rows() - i));
    auto const factor = pack_left({.x = some, .transposed = false}, some.rows(), inner_, left.data);
    bf16_panels(factor, pairs_.view_all().data, pairs_of(inner_), {y.row(i).data, y.stride, alpha_, false}, some.rows(),
                n_);
  }
}
#else
MQL4GREC_DEFINITION void weight_panels::pack_pairs(product_factor const&) {}
MQL4GREC_DEFINITION void weight_panels::multiply_pairs(backend&, in_matrix<backend, float>,
                                                       out_matrix<backend, float>) const {}
#endif

MQL4GREC_DEFINITION void packed_weights::pack(backend& b, std::span<plain_weight<host_space, float> const> weights) {
  weights_.resize(weights.size());
  places_.clear();
  index_t all = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights_[i].plain = weights[i];
    places_[weights[i].values.data] = i;
    all += weights[i].values.size();
  }
  for_each_worker(b, [&](backend& worker, index_t number) {  // a worker packs consecutive weights
    index_t before = 0;
    for (auto& [plain, straight, transposed] : weights_) {
      index_t const middle = before + plain.values.size() / 2;
      before += plain.values.size();
      if (middle * b.workers() / all != number) continue;
      straight.pack({plain.values, false}, plain.alpha, worker.products());
      transposed.pack({plain.values, true}, plain.alpha, worker.products());
    }
  });
}

}  // namespace mql4grec::cpu::detail

namespace mql4grec::cpu {

MQL4GREC_DEFINITION weight_packing::weight_packing(backend& b, std::span<plain_weight<host_space, float> const> weights)
    : backend_(b) {
  if (weights.empty()) return;  // the memory of an earlier call is kept
  if (!b.packed_) b.packed_ = std::make_shared<detail::packed_weights>();
  b.packed_->pack(b, weights);
  announce(b.packed_.get());
}

template <std::same_as<float> T>
weight_packing pack_weights(backend& b, std::span<plain_weight<host_space, T> const> weights) {
  return {b, weights};
}

}  // namespace mql4grec::cpu
