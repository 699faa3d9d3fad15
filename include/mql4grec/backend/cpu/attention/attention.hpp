#pragma once
// Attention for float, one head of one sequence at a time. Its matrices have tens of rows, so they stay in the
// first-level cache. Scores are in a scratch matrix whose rows are padded to whole registers; the weights kept for the
// backward pass have no padding.
#include <algorithm>

#include "mql4grec/backend/cpu/cross_entropy.hpp"
#include "mql4grec/backend/cpu/dropout.hpp"
#include "mql4grec/backend/cpu/operations.hpp"
#include "mql4grec/backend/cpu/primitives/small_product.hpp"
#include "mql4grec/backend/cpu/primitives/softmax_rows.hpp"

namespace mql4grec::cpu {

namespace detail {

/// The dropout mask of one sequence, (queries, heads·keys): row = query, column = head · keys + key.
struct attention_mask_kernel {
  MQL4GREC_INLINE static void run(dropout site, index_t first_query, float* mask, index_t stride, index_t queries,
                                  index_t columns) {
    float const scale = static_cast<float>(site.scale());
    float block[mask_columns];
    for (index_t i = 0; i < queries; ++i, mask += stride)
      for (index_t first = 0; first < columns; first += mask_columns) {
        draw_mask(site, first_query + i, first / mask_columns, scale, block);
        index_t const n = columns - first < mask_columns ? columns - first : mask_columns;
        for (index_t j = 0; j < n; ++j) mask[first + j] = block[j];
      }
  }
};

/// y = x ∘ mask
struct masked_kernel {
  MQL4GREC_INLINE static void run(float const* x, index_t x_stride, float const* mask, index_t mask_stride, float* y,
                                  index_t y_stride, index_t rows, index_t columns) {
    for (index_t i = 0; i < rows; ++i)
      for (index_t j = 0; j < columns; ++j) y[i * y_stride + j] = x[i * x_stride + j] * mask[i * mask_stride + j];
  }
};

/// The position of one head's packed (transposed) keys, (width, padded keys). Every sequence has space for one register
/// of keys more than it has.
inline index_t packed_place(index_t sequence, index_t first_key, index_t keys, index_t inner, index_t first_column) {
  return (first_key + sequence * lanes) * inner + first_column * padded(keys);
}

/// Scratch memory for one head, with room for the largest sequence.
struct attention_scratch {
  out_vector<backend, float> scores;      // (queries, padded keys)
  out_vector<backend, float> kept;        // (queries, padded keys): the weights after dropout
  out_vector<backend, float> transposed;  // (width, padded keys)
  out_vector<backend, float> mask;        // (queries, heads·keys)
  out_vector<backend, float> bias;        // (copies, queries + padded keys): from the last query and key 0 on
  out_vector<backend, float> row;         // (padded keys)

  attention_scratch(backend& b, attention_inputs<host_space, float> const& in) {
    index_t max_scores = 0, max_keys = 0, max_queries = 0;
    for (index_t s = 0; s < in.sequences(); ++s) {
      index_t const keys = padded(in.key_offsets(s + 1) - in.key_offsets(s));
      max_scores = std::max(max_scores, (in.query_offsets(s + 1) - in.query_offsets(s)) * keys);
      max_keys = std::max(max_keys, keys);
      max_queries = std::max(max_queries, in.query_offsets(s + 1) - in.query_offsets(s));
    }
    scores = take<float>(b, max_scores);
    transposed = take<float>(b, in.width() * max_keys);
    bias = take<float>(b, bias_sums::copies * (max_queries + max_keys));
    row = take<float>(b, max_keys);
    if (!in.drop.active()) return;
    kept = take<float>(b, max_scores);
    mask = take<float>(b, max_scores * in.heads);
  }
};

/// The steps that the forward and the backward pass of one head share.
class head_pass {
  using head = reference::detail::attention_head<float>;

 public:
  head_pass(attention_inputs<host_space, float> const& in, attention_scratch const& scratch, head const& a)
      : in_(in),
        scratch_(scratch),
        a_(a),
        queries_(a.weights.rows()),
        keys_(a.weights.columns()),
        stride_(padded(keys_)) {
    if (in.drop.active() && a.head == 0)  // one mask serves all heads of a sequence; head 0 is processed first
      dispatch<attention_mask_kernel>(in.drop, a.first_query, scratch.mask.data, in.heads * keys_, queries_,
                                      in.heads * keys_);
  }

  score_rows scores() const {
    return {scratch_.scores.data, stride_, queries_, keys_, in_.causal, static_cast<float>(in_.scale)};
  }

  /// Prefetches values while scores are computed: their rows are too far apart for the hardware prefetcher.
  void prefetch(in_matrix<backend, float> y) const {
    for (index_t i = 0; i < y.rows(); ++i)
      for (index_t c = 0; c < y.columns(); c += lanes) __builtin_prefetch(y.row(i).data + c);
  }
  /// scores = q · kᵀ
  void score_keys() const {
    if (in_.packed_keys.size() == 0) {
      if (a_.head % in_.group == 0) pack(a_.k);  // the heads of a group are processed one after another
      return score_packed(a_.q, scratch_.transposed.data);
    }
    index_t const place = packed_place(a_.sequence, a_.first_key, keys_, in_.k.columns(), a_.key_head * in_.width());
    score_packed(a_.q, in_.packed_keys.data + place);
  }
  /// scores = x (queries, width) · yᵀ, y (keys, width)
  void score(in_matrix<backend, float> x, in_matrix<backend, float> y) const {
    pack(y);
    score_packed(x, scratch_.transposed.data);
  }
  /// The weights after dropout, as a factor (queries, keys).
  small_factor kept() const {
    if (!in_.drop.active()) return {a_.weights.data, keys_, 1};
    apply_mask(a_.weights.data, keys_, scratch_.kept.data);
    return {scratch_.kept.data, stride_, 1};
  }
  /// The bias of query 0 and key 0, copied to where whole registers can be read; null without bias.
  float const* bias() const {
    if (in_.bias.size() == 0) return nullptr;
    float* const place = scratch_.bias.data;
    std::copy_n(in_.bias.row(a_.head).data + in_.zero_distance - (queries_ - 1), distances(), place);
    std::fill_n(place + distances(), stride_ + queries_ - distances(), 0.f);
    return place + queries_ - 1;
  }
  /// Replaces the scores, which are the gradient of the weights, by that of the scores, and adds its sums by distance
  /// to all (heads, distances), if it isn't empty.
  void backward_softmax(out_matrix<backend, float> all) const {
    bias_sums const sums{scratch_.bias.data + queries_ - 1, queries_ + stride_};
    if (all.size() == 0) return softmax_rows_gradient(scores(), a_.weights.data, {}, scratch_.row.data);
    std::fill_n(scratch_.bias.data, bias_sums::copies * sums.stride, 0.f);
    softmax_rows_gradient(scores(), a_.weights.data, sums, scratch_.row.data);
    float* const dbias = all.row(a_.head).data + in_.zero_distance - (queries_ - 1);
    for (index_t c = 0; c < bias_sums::copies; ++c)
      for (index_t d = 0; d < distances(); ++d) dbias[d] += scratch_.bias.data[c * sums.stride + d];
  }
  /// scores ∘= mask
  void mask_scores() const {
    if (in_.drop.active()) apply_mask(scores().data, stride_, scores().data);
  }

 private:
  /// The number of distances between a query and a key that it attends to.
  index_t distances() const { return in_.causal ? queries_ : queries_ + keys_ - 1; }
  void pack(in_matrix<backend, float> y) const {
    transpose(y.data, y.stride, keys_, in_.width(), scratch_.transposed.data, stride_);
  }
  void score_packed(in_matrix<backend, float> x, float const* y) const {
    small_product({x.data, x.stride, 1}, {y, stride_}, {scores().data, stride_}, {queries_, stride_, in_.width()});
  }
  void apply_mask(float const* x, index_t x_stride, float* y) const {
    dispatch<masked_kernel>(x, x_stride, static_cast<float const*>(scratch_.mask.data + a_.first_column),
                            in_.heads * keys_, y, stride_, queries_, keys_);
  }

  attention_inputs<host_space, float> const& in_;
  attention_scratch const& scratch_;
  head const& a_;
  index_t queries_, keys_, stride_;
};

/// Whether the width of a head is a multiple of the registers', as in all T5 models. Otherwise the reference's loops
/// are used.
inline bool fits_registers(attention_inputs<host_space, float> const& in) { return in.width() % lanes == 0; }

}  // namespace detail

template <std::same_as<float> T>
in_vector<backend, T> pack_keys(backend& b, in_matrix<backend, T> k, in_vector<backend, index_t> key_offsets,
                                index_t heads) {
  index_t const sequences = key_offsets.size() - 1, inner = k.columns(), width = inner / heads;
  if (width % lanes != 0) return {};
  auto const packed = take<T>(b, (k.rows() + sequences * lanes) * inner);
  for (index_t s = 0; s < sequences; ++s)
    for (index_t h = 0; h < heads; ++h) {
      index_t const first = key_offsets(s), keys = key_offsets(s + 1) - first;
      detail::transpose(k.row(first).data + h * width, k.stride, keys, width,
                        packed.data + detail::packed_place(s, first, keys, inner, h * width), detail::padded(keys));
    }
  return packed;
}

template <std::same_as<float> T>
void attention_forward(backend& b, attention_inputs<host_space, T> const& in, out_vector<backend, T> weights,
                       out_matrix<backend, T> context) {
  if (!detail::fits_registers(in)) return reference::attention_forward<T>(b, in, weights, context);
  scratch_scope<backend> const scope(b.scratch());
  detail::attention_scratch const scratch(b, in);
  reference::detail::for_each_head<T>(in, weights, [&](reference::detail::attention_head<T> const& a) {
    auto const [queries, keys] = a.weights.extents;
    if (queries == 0) return;
    detail::head_pass const head(in, scratch, a);
    head.prefetch(a.v);
    head.score_keys();
    detail::softmax_rows(head.scores(), a.weights.data, head.bias());
    float* const place = context.row_block(a.first_query, queries).data + a.head * in.width();
    detail::small_right_factor const values{a.v.data, a.v.stride};  // named: nvcc garbles braces in a template's lambda
    detail::small_result const result{place, context.stride};
    detail::small_product(head.kept(), values, result, detail::small_sizes{queries, in.width(), keys});
  });
}

template <std::same_as<float> T>
void attention_backward(backend& b, attention_inputs<host_space, T> const& in, out_vector<backend, T> weights,
                        in_matrix<backend, T> dcontext, attention_gradients<host_space, T> const& out) {
  if (!detail::fits_registers(in)) return reference::attention_backward<T>(b, in, weights, dcontext, out);
  scratch_scope<backend> const scope(b.scratch());
  detail::attention_scratch const scratch(b, in);
  reference::detail::for_each_head<T>(in, weights, [&](reference::detail::attention_head<T> const& a) {
    auto const [queries, keys] = a.weights.extents;
    index_t const width = in.width();
    detail::head_pass const head(in, scratch, a);
    auto const dc = dcontext.row_block(a.first_query, queries).column_block(a.head * width, width);
    auto const product = [&](detail::small_factor x, in_matrix<backend, T> y, out_matrix<backend, T> all, index_t first,
                             index_t rows) {
      detail::small_right_factor const right{y.data, y.stride};
      detail::small_result const result{all.row_block(first, rows).data + a.head * width, all.stride};
      detail::small_product(x, right, result, detail::small_sizes{rows, width, y.rows()});
    };
    auto const transposed = [](detail::small_factor x) {
      return detail::small_factor{x.data, x.column_stride, x.row_stride};
    };
    product(transposed(head.kept()), dc, out.dv, a.first_key, keys);
    head.score(dc, a.v);
    head.mask_scores();
    head.backward_softmax(out.dbias);
    detail::small_factor const ds{head.scores().data, head.scores().stride, 1};
    product(ds, a.k, out.dq, a.first_query, queries);
    product(transposed(ds), a.q, out.dk, a.first_key, keys);
  });
}

}  // namespace mql4grec::cpu
