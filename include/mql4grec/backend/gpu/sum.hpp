#pragma once
// Sums that the host asks for. Teams add up stretches, one team adds those: the same bits every time, on every system.
#include "mql4grec/backend/gpu/team.hpp"

namespace mql4grec::gpu::detail {

/// sums[number] = Σ value(i) over a stretch of the n entries; with one team, over all of them.
template <class T, class Value>
struct sum_entries {
  static constexpr int threads = 256;
  static constexpr std::size_t shared_bytes() { return 0; }
  index_t n, each;
  Value value;
  T* sums;

  template <class Team>
  MQL4GREC_HD void operator()(Team& team, index_t number) const {
    index_t const first = number * each, last = first + each < n ? first + each : n;
    typename Team::template local<T> mine;
    team.each([&](int t) {
      T total{};
      for (index_t i = first + t; i < last; i += threads) total += value(i);
      mine[t] = total;
    });
    T const total = team.sum(mine);
    team.each([&](int t) {
      if (t == 0) sums[number] = total;
    });
  }
};

template <class T>
struct entry_of {
  T const* x;
  MQL4GREC_HD T operator()(index_t i) const { return x[i]; }
};

/// Σ value(i) over every i below n, left in the backend's memory.
template <class T, class System, class Value>
void sum_into(backend<System>& b, index_t n, Value const& value, T* total) {
  constexpr index_t most_teams = 512, least_entries = 4096;
  index_t const wanted = (n + least_entries - 1) / least_entries;
  index_t const teams = wanted < 1 ? 1 : wanted < most_teams ? wanted : most_teams;
  scratch_scope<backend<System>> const scope(b.scratch());
  auto const partial = b.scratch().template take<T>(teams);
  for_each_team(b, teams, sum_entries<T, Value>{n, (n + teams - 1) / teams, value, partial.data});
  for_each_team(b, 1, sum_entries<T, entry_of<T>>{teams, teams, entry_of<T>{partial.data}, total});
}

/// The same for the host, which waits for it.
template <class T, class System, class Value>
T sum_over(backend<System>& b, index_t n, Value const& value) {
  scratch_scope<backend<System>> const scope(b.scratch());
  auto const total = b.scratch().template take<T>(1);
  sum_into<T>(b, n, value, total.data);
  T result{};
  System::download(b.context(), total.data, &result, sizeof result);
  return result;
}

}  // namespace mql4grec::gpu::detail
