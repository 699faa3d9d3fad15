#pragma once
// Balanced assignment by Sinkhorn's algorithm. The definition is in backend/reference/sinkhorn.hpp, the kernels are in
// rounds.hpp.
#include "mql4grec/backend/gpu/nearest_code/nearest_code.hpp"
#include "mql4grec/backend/gpu/sinkhorn/rounds.hpp"

namespace mql4grec::gpu {

namespace detail {

/// The code with the largest mass in a row; of equal masses the nearest code. For a row without mass: its nearest code.
/// One warp per row.
template <Real T, class System, class In>
struct largest_share_code_of_row {
  static constexpr int threads = 32;
  static constexpr std::size_t shared_bytes() { return 0; }
  sinkhorn_tables<System> tables;
  In distances;
  code_t* codes;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t i) const {
    auto const row = tables.plan.row(i);
    int const columns = static_cast<int>(row.size());
    double const u = tables.u[i];
    auto const mass_of = [&](int k) { return row.data[k] * (u * tables.v[k]); };
    typename ThreadGroup::template local<double> sums, highest;
    group.each([&](int t) {
      sums[t] = highest[t] = 0;
      for (int k = t; k < columns; k += threads) {
        double const mass = mass_of(k);
        sums[t] += mass;
        highest[t] = mass > highest[t] ? mass : highest[t];
      }
    });
    double const sum = group.sum(sums), min_mass = group.max(highest) * mql4grec::contract::detail::sinkhorn_equal;
    int best = sum >= mql4grec::contract::detail::sinkhorn_min_mass ? nearest_with(group, mass_of, min_mass, i)
                                                                    : -1;  // false for NaN too
    if (best < 0) best = smallest_by<T>(group, distances.row(i).data, columns);
    group.each([&](int t) {
      if (t == 0) codes[i] = static_cast<code_t>(best);
    });
  }

 private:
  struct candidate {
    T distance;
    int code;  // −1: none
  };
  struct nearer {
    MQL4GREC_HD candidate operator()(candidate a, candidate b) const {
      if (a.code < 0 || b.code < 0) return a.code < 0 ? b : a;
      return b.distance < a.distance || (b.distance == a.distance && b.code < a.code) ? b : a;
    }
  };
  template <class ThreadGroup, class Mass>
  MQL4GREC_HD int nearest_with(ThreadGroup& group, Mass const& mass_of, double min_mass, index_t i) const {
    typename ThreadGroup::template local<candidate> mine;
    group.each([&](int t) {
      mine[t] = {T{}, -1};
      for (int k = t; k < static_cast<int>(distances.columns()); k += threads)
        if (mass_of(k) >= min_mass) mine[t] = nearer{}(mine[t], {distances(i, k), k});
    });
    return group.reduce(mine, nearer{}).code;
  }
};

template <class System>
sinkhorn_tables<System> take_sinkhorn_tables(backend<System>& b, index_t n, index_t k) {
  using tables = sinkhorn_tables<System>;
  index_t const chunks = (n + tables::rows_each - 1) / tables::rows_each,
                blocks = (k + tables::codes_each - 1) / tables::codes_each;
  return {.plan = take<double>(b, n, k),
          .masses = take<double>(b, chunks, k),
          .u = take<double>(b, n).data,
          .v = take<double>(b, k).data,
          .totals = take<double>(b, chunks).data,
          .ranges = take<distance_range>(b, chunks).data,
          .of_rows = take<int>(b, chunks).data,
          .of_codes = take<int>(b, blocks).data};
}

}  // namespace detail

/// codes (n) = an assignment of the rows of distances (n,K) to codes, spread evenly over the codes.
template <Real T, class System>
void sinkhorn_assign(backend<System>& b, in_matrix<backend<System>, T> distances, sinkhorn_options const& options,
                     out_vector<backend<System>, code_t> codes) {
  if (distances.rows() == 0) return;
  using in = in_matrix<backend<System>, T>;
  scratch_scope<backend<System>> const scope(b.scratch());
  auto const tables = detail::take_sinkhorn_tables(b, distances.rows(), distances.columns());
  detail::for_each_group(b, tables.chunks(), detail::range_of<in>{distances, tables.rows_each, tables.ranges});
  detail::for_each_group(b, tables.chunks(), detail::fill_range<System, in>{tables, distances, options.epsilon});
  detail::for_each_group(b, 1, detail::start_factors<System>{tables});
  detail::for_each_group_in_steps(b, std::max<index_t>(tables.chunks(), tables.blocks()), 2 * options.iterations,
                                  detail::sinkhorn_rounds<System>{tables, options.order});
  detail::for_each_group(b, distances.rows(),
                         detail::largest_share_code_of_row<T, System, in>{tables, distances, codes.data});
}

}  // namespace mql4grec::gpu
