#pragma once
// The revival of codes that are no row's nearest. One thread group for a level: in almost every batch it only counts.
#include <cmath>

#include "mql4grec/backend/contract/revive_codes.hpp"
#include "mql4grec/backend/gpu/nearest_code/nearest_code.hpp"

namespace mql4grec::gpu {

namespace detail {

template <Real T, MemorySpace S>
struct revive_codes_of_level {
  static constexpr int threads = 256;
  static constexpr std::size_t shared_bytes() { return 0; }
  index_t most_idle;
  level_batch<S, T> batch;
  trained_codes<S, T> codes;
  int *rows_of_code, *unused;  // (K) how many rows have it as their nearest; (K) the codes to move
  double* minus_errors;        // (n) −‖after‖²; ∞ for rows that are taken
  double* revived;             // (1)

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t) const {
    index_t found = 0;
    if (batch.report(0).finite()) {
      count_idle(group);
      found = find_unused(group);
      if (found > 0) find_errors(group);
      found = found < batch.after.rows() ? found : batch.after.rows();
      for (index_t i = 0; i < found; ++i) move(group, unused[i]);
    }
    group.each([&](int t) {
      if (t == 0) *revived = static_cast<double>(found);
    });
  }

 private:
  template <class ThreadGroup>
  MQL4GREC_HD void count_idle(ThreadGroup& group) const {
    group.each([&](int t) {
      for (index_t k = t; k < codes.idle.size(); k += threads) rows_of_code[k] = 0;
    });
    group.each([&](int t) {
      for (index_t i = t; i < batch.nearest.size(); i += threads)
        ThreadGroup::atomic_increment(&rows_of_code[index(batch.nearest(i))]);
    });
    group.each([&](int t) {
      for (index_t k = t; k < codes.idle.size(); k += threads)
        codes.idle(k) = rows_of_code[k] > 0 ? 0 : codes.idle(k) + 1;
    });
  }
  MQL4GREC_HD bool is_unused(index_t k) const { return k < codes.idle.size() && codes.idle(k) >= most_idle; }
  /// Writes the unused codes, in their order, and returns their number.
  template <class ThreadGroup>
  MQL4GREC_HD index_t find_unused(ThreadGroup& group) const {
    index_t found = 0;
    for (index_t first = 0; first < codes.idle.size(); first += threads) {
      typename ThreadGroup::template local<int> place;
      group.each([&](int t) { place[t] = is_unused(first + t); });
      int const more = group.exclusive_scan(place);
      group.each([&](int t) {
        if (is_unused(first + t)) unused[found + place[t]] = static_cast<int>(first) + t;
      });
      found += more;
    }
    return found;
  }
  template <class ThreadGroup>
  MQL4GREC_HD void find_errors(ThreadGroup& group) const {
    group.each([&](int t) {
      for (index_t i = t; i < batch.after.rows(); i += threads) {
        double error = 0;
        for (index_t j = 0; j < batch.after.columns(); ++j) {
          auto const rest = static_cast<double>(batch.after(i, j));
          error += rest * rest;
        }
        minus_errors[i] = -error;
      }
    });
  }
  /// Moves a code to the worst of the rows that are left.
  template <class ThreadGroup>
  MQL4GREC_HD void move(ThreadGroup& group, index_t code) const {
    index_t const worst = smallest_by<double>(group, minus_errors, static_cast<int>(batch.after.rows()));
    group.each([&](int t) {
      for (index_t j = t; j < codes.vectors.columns(); j += threads) {
        codes.vectors(code, j) = batch.before(worst, j);
        codes.first_moments(code, j) = codes.second_moments(code, j) = 0;
      }
    });
    group.each([&](int t) {  // not before all members have read minus_errors
      if (t == 0) codes.idle(code) = 0, minus_errors[worst] = INFINITY;
    });
  }
};

}  // namespace detail

/// Moves the codes that were no row's nearest in `most_idle` batches to rows of this one. See the reference.
template <Real T, class System>
void revive_codes(backend<System>& b, index_t most_idle, level_batch<device_space<System>, T> const& batch,
                  trained_codes<device_space<System>, T> const& codes, out_vector<backend<System>, double> revived) {
  scratch_scope<backend<System>> const scope(b.scratch());
  auto const integers = [&] { return take<int>(b, codes.idle.size()).data; };
  int *const rows_of_code = integers(), *const unused = integers();
  detail::for_each_group(
      b, 1,
      detail::revive_codes_of_level<T, device_space<System>>{most_idle, batch, codes, rows_of_code, unused,
                                                             take<double>(b, batch.after.rows()).data, revived.data});
}

}  // namespace mql4grec::gpu
