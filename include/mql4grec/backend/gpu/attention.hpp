#pragma once
// Attention over packed sequences, a thread for each head of a token. The weights lie as in backend/reference/attention.hpp; the backward
// pass puts the scores' gradients into their place, so that nothing else as large is needed.
#include <thrust/transform_scan.h>

#include "mql4grec/backend/attention.hpp"
#include "mql4grec/backend/gpu/cross_entropy.hpp"
#include "mql4grec/backend/gpu/dropout.hpp"

namespace mql4grec::gpu {

namespace detail {

/// Where the packed sequences and their weights lie.
template <class System, Real T>
struct packed_attention {
  attention_inputs<device_space<System>, T> in;
  index_t const* first_weight;  ///< (sequences)
  T* weights;

  /// One sequence's numbers, and where its heads' weights begin.
  struct sequence {
    index_t first_query, queries, first_key, keys;
    T* weights;
    MQL4GREC_HD T* row(index_t head, index_t query) const { return weights + (head * queries + query) * keys; }
  };
  MQL4GREC_HD sequence at(index_t s) const {
    index_t const q = in.query_offsets(s), k = in.key_offsets(s);
    return {q, in.query_offsets(s + 1) - q, k, in.key_offsets(s + 1) - k, weights + first_weight[s]};
  }
  /// The last sequence that begins at or before a row: the one that holds it, since empty ones begin where the next one does.
  MQL4GREC_HD static index_t holder(view<index_t const, device_space<System>, 1> const& offsets, index_t row) {
    index_t low = 0, high = offsets.size() - 1;
    while (high - low > 1) {
      index_t const middle = (low + high) / 2;
      (offsets(middle) <= row ? low : high) = middle;
    }
    return low;
  }
  MQL4GREC_HD index_t visible(index_t query, index_t keys) const { return in.causal ? query + 1 : keys; }
  MQL4GREC_HD T drop(index_t row, index_t head, index_t key, index_t keys, T x) const {
    return dropped(in.drop, row, head * keys + key, x);
  }
};

struct weight_count {
  index_t const *query_offsets, *key_offsets;
  index_t heads;
  MQL4GREC_HD index_t operator()(index_t s) const {
    return heads * (query_offsets[s + 1] - query_offsets[s]) * (key_offsets[s + 1] - key_offsets[s]);
  }
};

template <Real T, class System>
packed_attention<System, T> pack_attention(backend<System>& b, attention_inputs<device_space<System>, T> const& in, T* weights) {
  auto const first = b.scratch().template take<index_t>(in.sequences());
  thrust::counting_iterator<index_t> const numbers(0);
  thrust::transform_exclusive_scan(b.policy(), numbers, numbers + in.sequences(), first.data,
                                   weight_count{in.query_offsets.data, in.key_offsets.data, in.heads}, index_t{0}, plus{});
  return {in, first.data, weights};
}

template <class System, Real T>
struct attend {
  packed_attention<System, T> a;
  view<T, device_space<System>, 2> context;

  MQL4GREC_HD void operator()(index_t row, index_t head) const {
    auto const s = a.at(a.holder(a.in.query_offsets, row));
    index_t const i = row - s.first_query, width = a.in.width(), column = head * width, visible = a.visible(i, s.keys);
    T* const weights = s.row(head, i);
    for (index_t j = 0; j < visible; ++j) {
      T score{};
      for (index_t c = 0; c < width; ++c) score += a.in.q(row, column + c) * a.in.k(s.first_key + j, column + c);
      if (a.in.bias.size() > 0) score += a.in.bias(head, j - i + a.in.zero_distance);
      weights[j] = score;
    }
    T const normaliser = log_sum_exp_of<T>(weights, visible);
    for (index_t j = 0; j < s.keys; ++j) weights[j] = j < visible ? std::exp(weights[j] - normaliser) : T{};
    for (index_t c = 0; c < width; ++c) {
      T sum{};
      for (index_t j = 0; j < visible; ++j) sum += a.drop(row, head, j, s.keys, weights[j]) * a.in.v(s.first_key + j, column + c);
      context(row, column + c) = sum;
    }
  }
};

/// dv of one head of a key; reads the weights.
template <class System, Real T>
struct value_gradient {
  packed_attention<System, T> a;
  view<T const, device_space<System>, 2> dcontext;
  view<T, device_space<System>, 2> dv;

  MQL4GREC_HD void operator()(index_t row, index_t head) const {
    auto const s = a.at(a.holder(a.in.key_offsets, row));
    index_t const j = row - s.first_key, width = a.in.width(), column = head * width;
    for (index_t c = 0; c < width; ++c) dv(row, column + c) = T{};
    for (index_t i = a.in.causal ? j : 0; i < s.queries; ++i) {
      T const kept = a.drop(s.first_query + i, head, j, s.keys, s.row(head, i)[j]);
      for (index_t c = 0; c < width; ++c) dv(row, column + c) += kept * dcontext(s.first_query + i, column + c);
    }
  }
};

/// dq of one head of a query; the weights become the gradient of the scores, p ∘ (dp − Σ p·dp).
template <class System, Real T>
struct query_gradient {
  packed_attention<System, T> a;
  view<T const, device_space<System>, 2> dcontext;
  view<T, device_space<System>, 2> dq;

  MQL4GREC_HD T weight_gradient(typename packed_attention<System, T>::sequence const& s, index_t row, index_t head, index_t j) const {
    index_t const width = a.in.width(), column = head * width;
    T dot{};
    for (index_t c = 0; c < width; ++c) dot += dcontext(row, column + c) * a.in.v(s.first_key + j, column + c);
    return a.drop(row, head, j, s.keys, dot);
  }
  MQL4GREC_HD void operator()(index_t row, index_t head) const {
    auto const s = a.at(a.holder(a.in.query_offsets, row));
    index_t const i = row - s.first_query, width = a.in.width(), column = head * width, visible = a.visible(i, s.keys);
    T* const weights = s.row(head, i);
    T along{};
    for (index_t j = 0; j < visible; ++j) along += weight_gradient(s, row, head, j) * weights[j];
    for (index_t c = 0; c < width; ++c) dq(row, column + c) = T{};
    for (index_t j = 0; j < visible; ++j) {
      T const ds = weights[j] * (weight_gradient(s, row, head, j) - along);
      weights[j] = ds;
      for (index_t c = 0; c < width; ++c) dq(row, column + c) += ds * a.in.k(s.first_key + j, column + c);
    }
  }
};

/// dk of one head of a key; reads the scores' gradients.
template <class System, Real T>
struct key_gradient {
  packed_attention<System, T> a;
  view<T, device_space<System>, 2> dk;

  MQL4GREC_HD void operator()(index_t row, index_t head) const {
    auto const s = a.at(a.holder(a.in.key_offsets, row));
    index_t const j = row - s.first_key, width = a.in.width(), column = head * width;
    for (index_t c = 0; c < width; ++c) dk(row, column + c) = T{};
    for (index_t i = a.in.causal ? j : 0; i < s.queries; ++i) {
      T const ds = s.row(head, i)[j];
      for (index_t c = 0; c < width; ++c) dk(row, column + c) += ds * a.in.q(s.first_query + i, column + c);
    }
  }
};

/// The bias' gradient at one distance of one head: every pair of a query and a key that lies so far from it.
template <class System, Real T>
struct bias_gradient {
  packed_attention<System, T> a;
  view<T, device_space<System>, 2> dbias;

  MQL4GREC_HD void operator()(index_t head, index_t at) const {
    index_t const distance = at - a.in.zero_distance;
    T sum{};
    for (index_t n = 0; n < a.in.sequences(); ++n) {
      auto const s = a.at(n);
      for (index_t i = distance < 0 ? -distance : 0; i < s.queries && i + distance < a.visible(i, s.keys); ++i)
        sum += s.row(head, i)[i + distance];
    }
    dbias(head, at) += sum;
  }
};

}  // namespace detail

// k -> nothing: keys are read as they are
template <Real T, class System>
in_vector<backend<System>, T> turn_keys(backend<System>&, in_matrix<backend<System>, T>, in_vector<backend<System>, index_t>, index_t) {
  return {};
}

// -> context (query tokens, heads·width), weights (Σ heads·queries·keys)
template <Real T, class System>
void attention_forward(backend<System>& b, attention_inputs<device_space<System>, T> const& in, out_vector<backend<System>, T> weights,
                       out_matrix<backend<System>, T> context) {
  scratch_scope<backend<System>> const scope(b.scratch());
  detail::for_each_entry(b, in.q.rows(), in.heads, detail::attend<System, T>{detail::pack_attention<T>(b, in, weights.data), context});
}

// dcontext (query tokens, heads·width) -> gradients; weights are used up.
template <Real T, class System>
void attention_backward(backend<System>& b, attention_inputs<device_space<System>, T> const& in, out_vector<backend<System>, T> weights,
                        in_matrix<backend<System>, T> dcontext, attention_gradients<device_space<System>, T> const& out) {
  scratch_scope<backend<System>> const scope(b.scratch());
  auto const a = detail::pack_attention<T>(b, in, weights.data);
  detail::for_each_entry(b, in.k.rows(), in.heads, detail::value_gradient<System, T>{a, dcontext, out.dv});
  detail::for_each_entry(b, in.q.rows(), in.heads, detail::query_gradient<System, T>{a, dcontext, out.dq});
  detail::for_each_entry(b, in.k.rows(), in.heads, detail::key_gradient<System, T>{a, out.dk});
  if (out.dbias.size() > 0) detail::for_each_entry(b, out.dbias.rows(), out.dbias.columns(), detail::bias_gradient<System, T>{a, out.dbias});
}

}  // namespace mql4grec::gpu
