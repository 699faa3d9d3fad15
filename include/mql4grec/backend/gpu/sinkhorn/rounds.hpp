#pragma once
// The rounds of Sinkhorn's iteration. The plan is diag(u) · P · diag(v): P is written once, in double precision, and a
// round changes only u and v. Thread groups process chunks of rows: each scales its rows and sums their contributions
// to the codes. Other groups add these sums and scale the codes. When a factor is so far from 1 that a mass could
// underflow that wouldn't in the reference, the next round multiplies u and v into P. The first round always does,
// since its range is the widest.
//
// The range of the distances, the sum and that decision stay on the device: the host never waits. All rounds are one
// kernel, whose groups wait for each other twice in a round.
#include <algorithm>
#include <cmath>

#include "mql4grec/backend/contract/sinkhorn.hpp"
#include "mql4grec/backend/gpu/primitives/thread_group.hpp"

namespace mql4grec::gpu {

namespace detail {

struct distance_range {
  double lowest, highest;
  /// The range of an empty set.
  MQL4GREC_HD static distance_range none() { return {INFINITY, -INFINITY}; }
};
struct widest {
  MQL4GREC_HD distance_range operator()(distance_range a, distance_range b) const {
    return {b.lowest < a.lowest ? b.lowest : a.lowest, b.highest > a.highest ? b.highest : a.highest};
  }
};

/// What happened in a round to a chunk of rows, or to a block of codes.
enum sinkhorn_event : int { nothing_special = 0, far_factor = 1, plan_written = 2 };

/// The tables of an assignment, in the backend's scratch, and the constants that its kernels share.
template <class System>
struct sinkhorn_tables {
  static constexpr int threads = 256, rows_each = 16, members = threads / rows_each;  // members: those that share a row
  static constexpr int codes_each = 32, groups = threads / codes_each;  // groups: those that share the chunks of a code
  out_matrix<backend<System>, double> plan, masses;  // (n,K); (chunks,K): the contribution of a chunk to each code
  double *u, *v, *totals;                            // (n), (K), (chunks)
  distance_range* ranges;                            // (chunks)
  int *of_rows, *of_codes;                           // (chunks), (blocks): sinkhorn_event

  MQL4GREC_HD index_t chunks() const { return masses.rows(); }
  MQL4GREC_HD int blocks() const { return static_cast<int>((plan.columns() + codes_each - 1) / codes_each); }
  MQL4GREC_HD int rows_from(index_t first) const {
    return plan.rows() - first < rows_each ? static_cast<int>(plan.rows() - first) : rows_each;
  }
  MQL4GREC_HD static bool is_far(double factor) {
    return factor < 1e-8 || factor > 1e8;
  }  // a mass of 1e-300 divided by such a factor is still a normal number
  /// The factor that scales a sum to `target`; `mass` is the sum including all factors. 0 for an empty row or code,
  /// which stays empty.
  MQL4GREC_HD static double factor(double sum, double mass, double target) {
    return mass < mql4grec::contract::detail::sinkhorn_min_mass ? 0 : target / sum;
  }
};

template <class In>
struct range_of {
  static constexpr int threads = 256;
  static constexpr std::size_t shared_bytes() { return 0; }
  In distances;
  int rows_each;
  distance_range* ranges;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t chunk) const {
    index_t const first = chunk * rows_each,
                  last = first + rows_each < distances.rows() ? first + rows_each : distances.rows();
    typename ThreadGroup::template local<distance_range> mine;
    group.each([&](int t) {
      auto range = distance_range::none();
      for (index_t i = first; i < last; ++i)
        for (index_t k = t; k < distances.columns(); k += threads) {
          auto const d = static_cast<double>(distances(i, k));
          range = widest{}(range, {d, d});
        }
      mine[t] = range;
    });
    auto const range = group.reduce(mine, widest{});
    group.each([&](int t) {
      if (t == 0) ranges[chunk] = range;
    });
  }
};

/// Writes a chunk of P and the chunk's sum.
template <class System, class In>
struct fill_range : sinkhorn_tables<System> {
  static constexpr std::size_t shared_bytes() { return 0; }
  In distances;
  double epsilon;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t chunk) const {
    typename ThreadGroup::template local<distance_range> mine;
    group.each([&](int t) {
      mine[t] = distance_range::none();
      for (index_t s = t; s < this->chunks(); s += this->threads) mine[t] = widest{}(mine[t], this->ranges[s]);
    });
    auto const range = group.reduce(mine, widest{});
    double const middle = (range.highest + range.lowest) / 2, amplitude = range.highest - middle + 1e-5,
                 lowest = (range.lowest - middle) / amplitude;
    index_t const first = chunk * this->rows_each;
    typename ThreadGroup::template local<double> sums;
    group.each([&](int t) {
      double sum = 0;
      for (index_t i = first; i < first + this->rows_from(first); ++i)
        for (index_t k = t; k < this->plan.columns(); k += this->threads) {
          double const exponent = (lowest - (static_cast<double>(distances(i, k)) - middle) / amplitude) / epsilon;
          sum += this->plan(i, k) =
              exponent < mql4grec::contract::detail::sinkhorn_min_exponent ? 0 : std::exp(exponent);
        }
      sums[t] = sum;
    });
    double const total = group.sum(sums);
    group.each([&](int t) {
      if (t == 0) this->totals[chunk] = total;
    });
  }
};

/// u = 1 and v = 1 / ΣP. A single group.
template <class System>
struct start_factors : sinkhorn_tables<System> {
  static constexpr std::size_t shared_bytes() { return 0; }

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t) const {
    typename ThreadGroup::template local<double> sums;
    group.each([&](int t) {
      sums[t] = 0;
      for (index_t s = t; s < this->chunks(); s += this->threads) sums[t] += this->totals[s];
    });
    double const total = group.sum(sums);
    group.each([&](int t) {
      for (index_t i = t; i < this->plan.rows(); i += this->threads) this->u[i] = 1;
      for (index_t k = t; k < this->plan.columns(); k += this->threads) this->v[k] = 1 / total;
      for (int block = t; block < this->blocks(); block += this->threads) this->of_codes[block] = far_factor;
    });
  }
};

/// What a round does with the rows: scale them (the first round writes the plan too), or only sum them.
enum class row_scaling { first_round, later_round, none };

/// Whether u and v are multiplied into the plan.
enum class plan_update { keep, write };

/// Scales each row of a chunk to 1/n and sums the rows' contributions to the codes; with row_scaling::none it only
/// sums.
template <class System>
struct scale_rows : sinkhorn_tables<System> {
  using tables = sinkhorn_tables<System>;
  using tables::members, tables::rows_each, tables::threads;
  static constexpr std::size_t shared_bytes() {
    return shared_bytes_of<double>(rows_each * (members + 1)) + shared_bytes_of<double>(rows_each);
  }
  row_scaling scaling;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t chunk) const {
    double* const sums =
        group.template share<double>(rows_each * (members + 1));  // the extra column avoids bank conflicts
    double* const factors = group.template share<double>(rows_each);
    index_t const first = chunk * rows_each;
    int const rows = this->rows_from(first), columns = static_cast<int>(this->plan.columns());
    bool const scale = scaling != row_scaling::none;
    bool const write = scale && (scaling == row_scaling::first_round || far_before(group));
    auto const update = write ? plan_update::write : plan_update::keep;
    typename ThreadGroup::template local<int> far;
    group.each([&](int t) {
      if (t / members < rows)
        sums[t / members * (members + 1) + t % members] =
            part_of_row(first + t / members, t % members, columns, update);
    });
    group.each([&](int t) {
      far[t] = 0;
      if (t >= rows) return;
      double sum = 0;
      for (int m = 0; m < members; ++m) sum += sums[t * (members + 1) + m];
      double& own = this->u[first + t];
      double const scaled = scale ? tables::factor(sum, sum * own, 1 / static_cast<double>(this->plan.rows())) : own;
      factors[t] = scaled;
      own = write && scaled != 0 ? 1 : scaled;
      far[t] = !write && scaled != 0 && tables::is_far(scaled);
    });
    bool const any_far = group.max(far) > 0;
    group.each([&](int t) {
      if (t == 0) this->of_rows[chunk] = (any_far ? far_factor : 0) | (write ? plan_written : 0);
      for (int k = t; k < columns; k += threads) this->masses(chunk, k) = mass_of_code(first, rows, k, factors, update);
    });
  }

 private:
  template <class ThreadGroup>
  MQL4GREC_HD bool far_before(ThreadGroup& group) const {
    typename ThreadGroup::template local<int> far;
    group.each([&](int t) {
      far[t] = 0;
      for (int block = t; block < this->blocks(); block += threads) far[t] |= this->of_codes[block];
    });
    return group.max(far) > 0;
  }
  MQL4GREC_HD double part_of_row(index_t i, int member, int columns, plan_update update) const {
    double* const row = this->plan.row(i).data;
    double sum = 0;
    for (int k = member; k < columns; k += members) {
      double const mass = row[k] * this->v[k];
      if (update == plan_update::write) row[k] = mass;
      sum += mass;
    }
    return sum;
  }
  MQL4GREC_HD double mass_of_code(index_t first, int rows, int k, double const* factors, plan_update update) const {
    double sum = 0;
    for (int i = 0; i < rows; ++i) {
      double& entry = this->plan(first + i, k);
      double const mass = entry * factors[i];
      if (update == plan_update::write) entry = mass;
      sum += mass;
    }
    return sum;
  }
};

/// Scales 32 codes to 1/K each. Members with the same t / 32 process a share of the chunks.
template <class System>
struct scale_codes : sinkhorn_tables<System> {
  using tables = sinkhorn_tables<System>;
  using tables::codes_each, tables::groups, tables::threads;
  static constexpr std::size_t shared_bytes() { return shared_bytes_of<double>(threads); }

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t block) const {
    double* const sums = group.template share<double>(threads);
    index_t const first = block * codes_each, each = (this->chunks() + groups - 1) / groups;
    typename ThreadGroup::template local<int> events;
    group.each([&](int t) {
      events[t] = 0;
      for (index_t s = t; s < this->chunks(); s += threads) events[t] |= this->of_rows[s];
      index_t const k = first + t % codes_each, begin = t / codes_each * each;
      double sum = 0;
      if (k < this->plan.columns())
        for (index_t s = begin; s < begin + each && s < this->chunks(); ++s) sum += this->masses(s, k);
      sums[t] = sum;
    });
    int const row_events = group.reduce(events, [](int a, int b) { return a | b; });
    group.each([&](int t) {
      events[t] = 0;
      index_t const k = first + t;
      if (t >= codes_each || k >= this->plan.columns()) return;
      double sum = 0;
      for (int g = 0; g < groups; ++g) sum += sums[g * codes_each + t];
      double const before = row_events & plan_written ? 1 : this->v[k];
      this->v[k] = tables::factor(sum, sum * before, 1 / static_cast<double>(this->plan.columns()));
      events[t] = this->v[k] != 0 && tables::is_far(this->v[k]);
    });
    bool const far = group.max(events) > 0 || (row_events & far_factor);
    group.each([&](int t) {
      if (t == 0) this->of_codes[block] = far ? far_factor : nothing_special;
    });
  }
};

/// All rounds: an even step scales rows, an odd one codes.
template <class System>
struct sinkhorn_rounds : sinkhorn_tables<System> {
  static constexpr std::size_t shared_bytes() {
    return std::max(scale_rows<System>::shared_bytes(), scale_codes<System>::shared_bytes());
  }
  sinkhorn_order order;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t number, index_t step) const {
    if (step % 2 == 0 && number < this->chunks())
      scale_rows<System>{*this, scaling_of_round(step / 2)}(group, number);
    else if (step % 2 == 1 && number < this->blocks())
      scale_codes<System>{*this}(group, number);
  }

 private:
  /// If samples come last, the scaling of codes comes first: the first round only sums the rows, and the last one needs
  /// no scaling of rows, since that changes no row's largest code.
  MQL4GREC_HD row_scaling scaling_of_round(index_t round) const {
    index_t const first = order == sinkhorn_order::samples_last ? 1 : 0;
    return round < first ? row_scaling::none : round == first ? row_scaling::first_round : row_scaling::later_round;
  }
};

}  // namespace detail

}  // namespace mql4grec::gpu
