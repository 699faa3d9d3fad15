#pragma once
// Attention over cached ancestors in a beam search. Sixteen threads handle one head of a row, so that they read
// neighbouring entries of keys and values; two such heads form a group. There are few steps and many rows: a thread
// loads the columns of several ancestors before it uses the first.
#include <cmath>
#include <cstdint>
#include <limits>

#include "mql4grec/backend/contract/beam.hpp"
#include "mql4grec/backend/gpu/attention/tile.hpp"

namespace mql4grec::gpu {

namespace detail {

/// One number for each of 8 steps.
template <Real T>
struct of_steps {
  static constexpr int count = 8;
  T of[count];
};
struct add_of_steps {
  template <Real T>
  MQL4GREC_HD of_steps<T> operator()(of_steps<T> const& x, of_steps<T> const& y) const {
    of_steps<T> sums;
    unrolled<of_steps<T>::count>([&](auto s) { sums.of[s] = x.of[s] + y.of[s]; });
    return sums;
  }
};
struct add_numbers {
  template <Real T>
  MQL4GREC_HD T operator()(T x, T y) const {
    return x + y;
  }
};
struct greater_number {
  template <Real T>
  MQL4GREC_HD T operator()(T x, T y) const {
    return y > x ? y : x;
  }
};

/// How a thread moves the four columns that it handles.
enum class column_access { as_quads, one_by_one };

/// `Access`: as quads if all rows are aligned and the width of a head is a multiple of 4.
template <class System, Real T, column_access Access>
struct attend_to_cache {
  static constexpr int threads = 32, sharers = 16, together = threads / sharers;
  static constexpr T infinity = std::numeric_limits<T>::infinity();
  cached_attention_inputs<device_space<System>, T> in;
  view<T, device_space<System>, 2> context;
  int heads, width, steps;  // ints, which a GPU divides faster

  attend_to_cache(cached_attention_inputs<device_space<System>, T> const& inputs, view<T, device_space<System>, 2> to)
      : in(inputs),
        context(to),
        heads(static_cast<int>(in.bias.rows())),
        width(static_cast<int>(context.columns()) / heads),
        steps(static_cast<int>(in.places.columns())) {}
  std::size_t shared_bytes() const { return shared_bytes_of<T>(together * steps); }

  /// One head of one row, and the shared memory for its scores, which are replaced by its weights.
  struct head_of_row {
    bool is_there;
    int row, head;
    T* weights;
  };
  MQL4GREC_HD head_of_row at(index_t number, int t, T* weights) const {
    int const n = static_cast<int>(number) * together + t / sharers, row = n / heads;
    return {row < context.rows(), row, n - row * heads, weights + t / sharers * steps};
  }

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t number) const {
    T* const weights = group.template share<T>(together * steps);
    typename ThreadGroup::template local<of_steps<T>> dots;
    for (int first = 0; first < steps; first += of_steps<T>::count) {
      group.each([&](int t) { dots[t] = dots_of(at(number, t, weights), first, t % sharers); });
      auto const scores = group.template reduce_among<sharers>(dots, add_of_steps{});
      group.each([&](int t) { store_scores(at(number, t, weights), first, t % sharers, scores[t]); });
    }
    typename ThreadGroup::template local<T> highest, sum;
    group.each([&](int t) { highest[t] = highest_of(at(number, t, weights), t % sharers); });
    auto const maximum = group.template reduce_among<sharers>(highest, greater_number{});
    group.each([&](int t) { sum[t] = weigh(at(number, t, weights), maximum[t], t % sharers); });
    auto const total = group.template reduce_among<sharers>(sum, add_numbers{});
    group.each([&](int t) { store_context(at(number, t, weights), 1 / total[t], t % sharers); });
  }

 private:
  MQL4GREC_HD quad<T> load(T const* from, int left) const {
    if constexpr (Access == column_access::as_quads) return *reinterpret_cast<quad<T> const*>(from);
    quad<T> result = {};
    unrolled<4>([&](auto e) {
      if (e < left) result.of[e] = from[e];
    });
    return result;
  }
  /// Loads four columns of the ancestors of 8 steps; zeros for steps that don't exist.
  MQL4GREC_HD void load_steps(head_of_row const& h, int first, index_t column, int left,
                              quad<T> (&columns)[of_steps<T>::count]) const {
    unrolled<of_steps<T>::count>([&](auto s) {
      columns[s] = first + s < steps ? load(in.cache.row(in.places(h.row, first + s)).data + column, left) : quad<T>{};
    });
  }

  /// A thread's share of q · k for 8 steps.
  MQL4GREC_HD of_steps<T> dots_of(head_of_row const& h, int first, int thread) const {
    of_steps<T> dots = {};
    if (!h.is_there) return dots;
    for (int c = 4 * thread; c < width; c += 4 * sharers) {
      index_t const column = static_cast<index_t>(h.head) * width + c;
      quad<T> k[of_steps<T>::count], q = load(in.q.row(h.row).data + column, width - c);
      load_steps(h, first, column, width - c, k);
      unrolled<of_steps<T>::count>([&](auto s) { unrolled<4>([&](auto e) { dots.of[s] += q.of[e] * k[s].of[e]; }); });
    }
    return dots;
  }
  MQL4GREC_HD void store_scores(head_of_row const& h, int first, int thread, of_steps<T> const& scores) const {
    if (!h.is_there) return;
    unrolled<of_steps<T>::count>([&](auto s) {
      int const step = first + s;
      if (thread == s && step < steps)
        h.weights[step] = scores.of[s] + in.bias(h.head, step - (steps - 1) + in.zero_distance);
    });
  }
  MQL4GREC_HD T highest_of(head_of_row const& h, int thread) const {
    T maximum = -infinity;
    if (h.is_there)
      for (int step = thread; step < steps; step += sharers)
        maximum = h.weights[step] > maximum ? h.weights[step] : maximum;
    return maximum;
  }
  /// Replaces the thread's scores by exp(score − maximum) and returns their sum.
  MQL4GREC_HD T weigh(head_of_row const& h, T maximum, int thread) const {
    T sum{};
    if (h.is_there)
      for (int step = thread; step < steps; step += sharers)
        sum += h.weights[step] = std::exp(h.weights[step] - maximum);
    return sum;
  }
  MQL4GREC_HD void store_context(head_of_row const& h, T scale, int thread) const {
    if (!h.is_there) return;
    for (int c = 4 * thread; c < width; c += 4 * sharers) {
      index_t const column = static_cast<index_t>(h.head) * width + c;
      quad<T> sum = {};
      for (int first = 0; first < steps; first += of_steps<T>::count) {
        quad<T> v[of_steps<T>::count];
        load_steps(h, first, context.columns() + column, width - c, v);
        unrolled<of_steps<T>::count>([&](auto s) {
          if (first + s < steps) unrolled<4>([&](auto e) { sum.of[e] += h.weights[first + s] * v[s].of[e]; });
        });
      }
      unrolled<4>([&](auto e) { sum.of[e] *= scale; });
      store(context.row(h.row).data + column, width - c, sum);
    }
  }
  MQL4GREC_HD void store(T* to, int left, quad<T> const& sum) const {
    if constexpr (Access == column_access::as_quads)
      *reinterpret_cast<quad<T>*>(to) = sum;
    else
      unrolled<4>([&](auto e) {
        if (e < left) to[e] = sum.of[e];
      });
  }
};

template <class M>
bool has_whole_quads(M const& x) {
  using scalar = typename M::value_type;
  return reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0 &&
         x.stride * static_cast<index_t>(sizeof(scalar)) % 16 == 0;
}

}  // namespace detail

/// Computes context (rows, heads·width) for one decoder step.
template <Real T, class System>
void cached_attention(backend<System>& b, cached_attention_inputs<device_space<System>, T> const& in,
                      out_matrix<backend<System>, T> context) {
  using detail::column_access;
  index_t const heads = in.bias.rows(),
                together = detail::attend_to_cache<System, T, column_access::as_quads>::together;
  index_t const groups = (context.rows() * heads + together - 1) / together;
  if (context.columns() / heads % 4 == 0 && detail::has_whole_quads(in.q) && detail::has_whole_quads(in.cache) &&
      detail::has_whole_quads(context))
    detail::for_each_group(b, groups, detail::attend_to_cache<System, T, column_access::as_quads>(in, context));
  else
    detail::for_each_group(b, groups, detail::attend_to_cache<System, T, column_access::one_by_one>(in, context));
}

}  // namespace mql4grec::gpu
