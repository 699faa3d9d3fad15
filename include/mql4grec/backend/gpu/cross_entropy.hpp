#pragma once
// Cross-entropy over the vocabulary, with one thread group per row of logits. The row is read once for its normalizer:
// each member updates its own maximum and its sum relative to that maximum.
#include <cmath>
#include <limits>

#include "mql4grec/backend/gpu/primitives/thread_group.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

namespace detail {

/// log Σ_j exp(x_j) over n entries, one thread.
template <Real T>
MQL4GREC_HD T log_sum_exp_of(T const* x, index_t n) {
  T highest = x[0], sum{};
  for (index_t j = 1; j < n; ++j) highest = x[j] > highest ? x[j] : highest;
  for (index_t j = 0; j < n; ++j) sum += std::exp(x[j] - highest);
  return std::log(sum) + highest;
}

/// The same by a whole thread group.
template <Real T, class ThreadGroup>
MQL4GREC_HD T log_sum_exp_by(ThreadGroup& group, T const* x, index_t n) {
  constexpr T infinity = std::numeric_limits<T>::infinity();
  typename ThreadGroup::template local<T> highest, sum;
  group.each([&](int t) {
    T maximum = -infinity, total{};
    for (index_t j = t; j < n; j += ThreadGroup::threads) {
      if (x[j] == -infinity) continue;  // adds nothing, and −∞ − (−∞) is NaN
      if (x[j] > maximum) {
        total *= std::exp(maximum - x[j]);
        maximum = x[j];
      }
      total += std::exp(x[j] - maximum);
    }
    highest[t] = maximum;
    sum[t] = total;
  });
  T const maximum = group.max(highest);
  group.each([&](int t) { sum[t] = highest[t] == -infinity ? sum[t] : sum[t] * std::exp(highest[t] - maximum); });
  return std::log(group.sum(sum)) + maximum;
}

template <Real T, class M>
struct log_sum_exp_rows {
  static constexpr int threads = 128;
  static constexpr std::size_t shared_bytes() { return 0; }
  M logits;
  T* out;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t i) const {
    T const all = log_sum_exp_by<T>(group, logits.row(i).data, logits.columns());
    group.each([&](int t) {
      if (t == 0) out[i] = all;
    });
  }
};

template <Real T, class M>
struct cross_entropy_rows {
  static constexpr int threads = 128;
  static constexpr std::size_t shared_bytes() { return 0; }
  M logits;
  token_t const* targets;
  T* losses;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t i) const {
    T const all = log_sum_exp_by<T>(group, logits.row(i).data, logits.columns());
    group.each([&](int t) {
      if (t == 0) losses[i] = targets[i] == no_target ? T{} : all - logits(i, index(targets[i]));
    });
  }
};

template <Real T, class M>
struct cross_entropy_gradient_rows {
  static constexpr int threads = 128;
  static constexpr std::size_t shared_bytes() { return 0; }
  T scale;
  token_t const* targets;
  M logits;
  T* losses;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t i) const {
    if (targets[i] == no_target) {
      group.each([&](int t) {
        if (t == 0) losses[i] = T{};
        for (index_t j = t; j < logits.columns(); j += threads) logits(i, j) = T{};
      });
      return;
    }
    T const all = log_sum_exp_by<T>(group, logits.row(i).data, logits.columns());
    index_t const target = index(targets[i]);
    group.each([&](int t) {
      if (t == 0) losses[i] = all - logits(i, target);
    });
    group.each([&](int t) {
      for (index_t j = t; j < logits.columns(); j += threads) {
        T const p = std::exp(logits(i, j) - all);
        logits(i, j) = (j == target ? p - 1 : p) * scale;
      }
    });
  }
};

}  // namespace detail

/// out (rows) = log Σ exp of each row of logits (rows,V).
template <Real T, class System>
void log_sum_exp(backend<System>& b, in_matrix<backend<System>, T> logits, out_vector<backend<System>, T> out) {
  detail::for_each_group(b, logits.rows(), detail::log_sum_exp_rows<T, decltype(logits)>{logits, out.data});
}

/// losses (rows) = −log softmax(logits (rows,V)) at targets (rows); 0 where the target is no_target.
template <Real T, class System>
void cross_entropy_forward(backend<System>& b, in_matrix<backend<System>, T> logits,
                           in_vector<backend<System>, token_t> targets, out_vector<backend<System>, T> losses) {
  detail::for_each_group(b, logits.rows(),
                         detail::cross_entropy_rows<T, decltype(logits)>{logits, targets.data, losses.data});
}

/// Computes losses (rows) as above, and overwrites logits (rows,V) with their gradient, (softmax − one-hot) · scale.
template <Real T, class System>
void cross_entropy_backward(backend<System>& b, in_vector<backend<System>, token_t> targets, double scale,
                            out_matrix<backend<System>, T> logits, out_vector<backend<System>, T> losses) {
  detail::for_each_group(b, logits.rows(),
                         detail::cross_entropy_gradient_rows<T, decltype(logits)>{static_cast<T>(scale), targets.data,
                                                                                  logits, losses.data});
}

}  // namespace mql4grec::gpu
