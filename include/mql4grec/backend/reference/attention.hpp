#pragma once
// Attention over packed sequences. The weights of all sequences and heads are stored in one vector: for each sequence,
// heads × queries × keys. They are the weights before dropout; the backward pass computes the mask again.
#include <cmath>
#include <complex>

#include "mql4grec/backend/contract/attention.hpp"
#include "mql4grec/backend/reference/cross_entropy.hpp"

namespace mql4grec::reference {

namespace detail {

/// One head of one sequence: its parts of the packed tensors.
template <Field T>
struct attention_head {
  in_matrix<backend, T> q, k, v;
  out_matrix<backend, T> weights;  // (queries, keys)
  index_t sequence, head, key_head, first_query, first_key, first_column;
};

/// Calls visit(attention_head) for every head of every sequence.
template <Field T, class Visit>
void for_each_head(attention_inputs<host_space, T> const& in, out_vector<backend, T> weights, Visit&& visit) {
  index_t used = 0, const_width = in.width();
  for (index_t s = 0; s < in.sequences(); ++s) {
    index_t const q0 = in.query_offsets(s), nq = in.query_offsets(s + 1) - q0;
    index_t const k0 = in.key_offsets(s), nk = in.key_offsets(s + 1) - k0;
    for (index_t h = 0; h < in.heads; ++h, used += nq * nk) {
      index_t const kh = h / in.group;
      auto const window = [&](in_matrix<backend, T> x, index_t head, index_t first, index_t rows) {
        return x.row_block(first, rows).column_block(head * const_width, const_width);
      };
      out_matrix<backend, T> const place{weights.data + used, nq, nk};
      visit(attention_head<T>{window(in.q, h, q0, nq), window(in.k, kh, k0, nk), window(in.v, kh, k0, nk), place, s, h,
                              kh, q0, k0, h * nk});
    }
  }
}

template <Field T>
T dropped(dropout const& site, index_t row, index_t column, T x) {
  if (!site.active()) return x;
  return keeps(site, row, column) ? x * constant<T>(site.scale()) : T{};
}

}  // namespace detail

/// Returns an empty view: the loops read keys as they are.
template <Field T>
in_vector<backend, T> pack_keys(backend&, in_matrix<backend, T>, in_vector<backend, index_t>, index_t) {
  return {};
}

/// Computes context (query tokens, heads·width) and weights (Σ heads·queries·keys), which the backward pass reads.
template <Field T>
void attention_forward(backend&, attention_inputs<host_space, T> const& in, out_vector<backend, T> weights,
                       out_matrix<backend, T> context) {
  detail::for_each_head<T>(in, weights, [&](detail::attention_head<T> const& a) {
    auto const [queries, keys] = a.weights.extents;
    for (index_t i = 0; i < queries; ++i) {
      index_t const visible = in.causal ? i + 1 : keys;
      for (index_t j = 0; j < keys; ++j) {
        T score{};
        for (index_t c = 0; c < in.width(); ++c) score += a.q(i, c) * a.k(j, c);
        score *= constant<T>(in.scale);
        if (j < visible && in.bias.size() > 0) score += in.bias(a.head, j - i + in.zero_distance);
        a.weights(i, j) = score;
      }
      T const normaliser = detail::log_sum_exp_of<T>(a.weights.row(i).part(0, visible));
      for (index_t j = 0; j < keys; ++j) a.weights(i, j) = j < visible ? std::exp(a.weights(i, j) - normaliser) : T{};
      for (index_t c = 0; c < in.width(); ++c) {
        T sum{};
        for (index_t j = 0; j < visible; ++j)
          sum += detail::dropped<T>(in.drop, a.first_query + i, a.first_column + j, a.weights(i, j)) * a.v(j, c);
        context(a.first_query + i, a.head * in.width() + c) = sum;
      }
    }
  });
}

/// Computes the gradients of the inputs from dcontext (query tokens, heads·width). The gradient of a softmax row p is p
/// ∘ (dp − Σ p·dp).
template <Field T>
void attention_backward(backend& b, attention_inputs<host_space, T> const& in, out_vector<backend, T> weights,
                        in_matrix<backend, T> dcontext, attention_gradients<host_space, T> const& out) {
  index_t const width = in.width();
  for (auto* target : {&out.dq, &out.dk, &out.dv})
    for (index_t i = 0; i < target->rows(); ++i) fill(target->row(i), T{});
  detail::for_each_head<T>(in, weights, [&](detail::attention_head<T> const& a) {
    auto const [queries, keys] = a.weights.extents;
    scratch_scope<backend> const scope(b.scratch());
    auto const dp = take<T>(b, keys);
    for (index_t i = 0; i < queries; ++i) {
      index_t const row = a.first_query + i, column = a.head * width, visible = in.causal ? i + 1 : keys;
      T inner_product{};
      for (index_t j = 0; j < visible; ++j) {
        T dot{};
        for (index_t c = 0; c < width; ++c) dot += dcontext(row, column + c) * a.v(j, c);
        dp(j) = detail::dropped<T>(in.drop, row, a.first_column + j, dot);
        inner_product += dp(j) * a.weights(i, j);
        T const kept = detail::dropped<T>(in.drop, row, a.first_column + j, a.weights(i, j));
        for (index_t c = 0; c < width; ++c) out.dv(a.first_key + j, column + c) += kept * dcontext(row, column + c);
      }
      for (index_t j = 0; j < visible; ++j) {
        T const ds = a.weights(i, j) * (dp(j) - inner_product);
        for (index_t c = 0; c < width; ++c) {
          out.dq(row, column + c) += ds * a.k(j, c);
          out.dk(a.first_key + j, column + c) += ds * a.q(i, c);
        }
        if (out.dbias.size() > 0) out.dbias(a.head, j - i + in.zero_distance) += ds;
      }
    }
  });
}

}  // namespace mql4grec::reference
