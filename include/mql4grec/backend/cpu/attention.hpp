#pragma once
// Products of whole heads go through matmul; what lies between them, the masked and biased softmax with its dropout, is one
// kernel a row. The matrices are small (tens of rows), so everything a head touches stays in the first cache.
#include <algorithm>

#include "mql4grec/backend/cpu/cross_entropy.hpp"
#include "mql4grec/backend/cpu/dropout.hpp"
#include "mql4grec/backend/cpu/matmul.hpp"

namespace mql4grec::cpu {

namespace detail {

struct softmax_rows_kernel {
  /// scores (queries, keys) in place; bias, if any, is that of key 0 and query 0, and moves one to the left a query.
  MQL4GREC_INLINE static void run(float* scores, index_t queries, index_t keys, float const* bias, bool causal) {
    for (index_t i = 0; i < queries; ++i, scores += keys) {
      index_t const visible = causal ? i + 1 : keys;
      if (bias)
        for (index_t j = 0; j < visible; ++j) scores[j] += bias[j - i];
      float const shift = highest(scores, visible);
      for (index_t j = 0; j < visible; ++j) scores[j] = exp_approximate(scores[j] - shift);
      float sum = 0;
      for (index_t j = 0; j < visible; ++j) sum += scores[j];
      float const scale = 1.f / sum;
      for (index_t j = 0; j < visible; ++j) scores[j] *= scale;
      for (index_t j = visible; j < keys; ++j) scores[j] = 0.f;
    }
  }
};

struct softmax_rows_gradient_kernel {
  /// dp (queries, keys) becomes the scores' gradient p ∘ (dp − Σ p·dp); its sums along distances go to dbias.
  MQL4GREC_INLINE static void run(float const* p, float* dp, index_t queries, index_t keys, float* dbias, bool causal) {
    for (index_t i = 0; i < queries; ++i, p += keys, dp += keys) {
      index_t const visible = causal ? i + 1 : keys;
      float const along = dot(p, dp, visible);
      for (index_t j = 0; j < visible; ++j) dp[j] = p[j] * (dp[j] - along);
      for (index_t j = visible; j < keys; ++j) dp[j] = 0.f;
      if (dbias)
        for (index_t j = 0; j < visible; ++j) dbias[j - i] += dp[j];
    }
  }
};

/// The dropout mask of one sequence: row of a query, column head · keys + key. (queries, heads·keys)
struct attention_mask_kernel {
  MQL4GREC_INLINE static void run(dropout site, index_t first_query, float* mask, index_t stride, index_t queries, index_t columns) {
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
  MQL4GREC_INLINE static void run(float const* x, index_t x_stride, float const* mask, index_t mask_stride, float* y, index_t y_stride,
                                  index_t rows, index_t columns) {
    for (index_t i = 0; i < rows; ++i)
      for (index_t j = 0; j < columns; ++j) y[i * y_stride + j] = x[i * x_stride + j] * mask[i * mask_stride + j];
  }
};

/// queries · keys of the sequence where that is largest.
inline index_t largest_head(attention_inputs<host_space, float> const& in) {
  index_t largest = 0;
  for (index_t s = 0; s < in.sequences(); ++s)
    largest = std::max(largest, (in.query_offsets(s + 1) - in.query_offsets(s)) * (in.key_offsets(s + 1) - in.key_offsets(s)));
  return largest;
}

/// The dropout mask of the sequence whose heads are being visited, drawn when its first head comes.
class attention_mask {
 public:
  attention_mask(backend& b, attention_inputs<host_space, float> const& in) : in_(in) {
    if (!in.drop.active()) return;
    memory_ = b.scratch().take<float>(largest_head(in) * in.heads);
  }
  /// out (queries, keys) = x ∘ the head's mask
  void apply(reference::detail::attention_head<float> const& a, in_matrix<backend, float> x, out_matrix<backend, float> out) {
    auto const [queries, keys] = a.weights.extents;
    index_t const columns = in_.heads * keys;
    if (a.head == 0) dispatch<attention_mask_kernel>(in_.drop, a.first_query, memory_.data, columns, queries, columns);
    dispatch<masked_kernel>(x.data, x.stride, static_cast<float const*>(memory_.data + a.first_column), columns, out.data, out.stride,
                            queries, keys);
  }

 private:
  attention_inputs<host_space, float> const& in_;
  out_vector<backend, float> memory_;
};

}  // namespace detail

template <std::same_as<float> T>
void attention_forward(backend& b, attention_inputs<host_space, T> const& in, out_vector<backend, T> weights,
                       out_matrix<backend, T> context) {
  scratch_scope<backend> const scope(b.scratch());
  detail::attention_mask mask(b, in);
  auto const room = b.scratch().take<T>(in.drop.active() ? detail::largest_head(in) : 0);
  reference::detail::for_each_head<T>(in, weights, [&](reference::detail::attention_head<T> const& a) {
    auto const [queries, keys] = a.weights.extents;
    matmul<T>(b, a.q, a.k, a.weights, {.transpose_b = true});
    float const* const bias = in.bias.size() > 0 ? in.bias.row(a.head).data + in.zero_distance : nullptr;
    dispatch<detail::softmax_rows_kernel>(a.weights.data, queries, keys, bias, in.causal);
    in_matrix<backend, T> kept = a.weights;
    if (in.drop.active()) {
      out_matrix<backend, T> const masked{room.data, queries, keys};
      mask.apply(a, a.weights, masked);
      kept = masked;
    }
    matmul<T>(b, kept, a.v, context.row_block(a.first_query, queries).column_block(a.head * in.width(), in.width()), {});
  });
}

template <std::same_as<float> T>
void attention_backward(backend& b, attention_inputs<host_space, T> const& in, out_vector<backend, T> weights,
                        in_matrix<backend, T> dcontext, attention_gradients<host_space, T> const& out) {
  scratch_scope<backend> const scope(b.scratch());
  detail::attention_mask mask(b, in);
  index_t const largest = detail::largest_head(in), width = in.width();
  auto const room = b.scratch().take<T>(in.drop.active() ? largest : 0), dp_room = b.scratch().take<T>(largest);
  reference::detail::for_each_head<T>(in, weights, [&](reference::detail::attention_head<T> const& a) {
    auto const [queries, keys] = a.weights.extents;
    auto const window = [&](out_matrix<backend, T> x, index_t first, index_t rows) {
      return x.row_block(first, rows).column_block(a.head * width, width);
    };
    auto const dc = dcontext.row_block(a.first_query, queries).column_block(a.head * width, width);
    out_matrix<backend, T> const dp{dp_room.data, queries, keys};
    in_matrix<backend, T> kept = a.weights;
    if (in.drop.active()) {
      out_matrix<backend, T> const masked{room.data, queries, keys};
      mask.apply(a, a.weights, masked);
      kept = masked;
    }
    matmul<T>(b, kept, dc, window(out.dv, a.first_key, keys), {.transpose_a = true});
    matmul<T>(b, dc, a.v, dp, {.transpose_b = true});
    if (in.drop.active()) mask.apply(a, dp, dp);
    float* const dbias = out.dbias.size() > 0 ? out.dbias.row(a.head).data + in.zero_distance : nullptr;
    dispatch<detail::softmax_rows_gradient_kernel>(static_cast<float const*>(a.weights.data), dp.data, queries, keys, dbias, in.causal);
    matmul<T>(b, dp, a.k, window(out.dq, a.first_query, queries), {});
    matmul<T>(b, dp, a.q, window(out.dk, a.first_key, keys), {.transpose_a = true});
  });
}

}  // namespace mql4grec::cpu
