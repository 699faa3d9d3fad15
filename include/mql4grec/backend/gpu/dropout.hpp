#pragma once
// Dropout of whole rows, one warp per row. A thread handles four columns, 32 apart: a warp reads neighbouring entries,
// and one Philox counter provides the bits of all four columns. No array is indexed at run time, so everything stays in
// registers.
#include <cstdint>

#include "mql4grec/backend/contract/dropout.hpp"
#include "mql4grec/backend/gpu/primitives/thread_group.hpp"
#include "mql4grec/backend/gpu/primitives/unrolled.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

namespace detail {

/// Four columns of a row, 32 apart; 0 beyond the end of the row. All are loaded before anything is written.
template <Real T>
struct strip {
  static constexpr int parts = 4, apart = 32, columns = parts * apart;
  T of[parts];

  /// `left`: the number of columns from the first one to the end of the row.
  MQL4GREC_HD static strip read(T const* first, int left) {
    strip s;
    unrolled<parts>([&](auto q) { s.of[q] = q * apart < left ? first[q * apart] : T{}; });
    return s;
  }
  MQL4GREC_HD void write(T* first, int left) const {
    unrolled<parts>([&](auto q) {
      if (q * apart < left) first[q * apart] = of[q];
    });
  }
};

/// Calls visit(j) for the first column j of each of member t's strips.
template <Real T, class Visit>
MQL4GREC_HD void for_each_strip(int t, int columns, Visit&& visit) {
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
  for (int j = t; j < columns; j += strip<T>::columns) visit(j);
}

/// Dropout of strips. The four columns of a strip are those whose 16 bits come from the four words of one counter; see
/// backend/contract/dropout.hpp.
template <Real T>
class strip_dropout {
 public:
  explicit strip_dropout(dropout const& site)
      : site_(site), threshold_(site.threshold()), scale_(static_cast<T>(site.scale())) {}

  /// `column`: the first column of the strip.
  MQL4GREC_HD void apply(index_t row, int column, strip<T>& x) const {
    if (!site_.active()) return;
    int const within = column % strip<T>::columns;
    philox_counter const counter{static_cast<std::uint32_t>(column / strip<T>::columns * 16 + within % 16),
                                 static_cast<std::uint32_t>(site_.first_row + row), site_.site, site_.current_step()};
    philox_counter const words = philox<7>(counter, key_of(site_.seed));
    unrolled<strip<T>::parts>([&](auto q) {
      std::uint32_t const bits = within < 16 ? words[q] & 0xffffu : words[q] >> 16;
      x.of[q] = bits >= threshold_ ? x.of[q] * scale_ : T{};
    });
  }

 private:
  dropout site_;
  std::uint32_t threshold_;
  T scale_;
};

/// Calls visit(row, column, columns left in the row) for the first column of every strip of every row.
template <Real T, class Visit>
struct visit_strips {
  static constexpr int threads = strip<T>::apart;
  static constexpr std::size_t shared_bytes() { return 0; }
  Visit visit;
  int columns;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t row) const {
    group.each([&](int t) { for_each_strip<T>(t, columns, [&](int j) { visit(row, j, columns - j); }); });
  }
};
template <Real T, class System, class Visit>
void for_each_row_strip(backend<System>& b, index_t rows, index_t columns, Visit const& visit) {
  for_each_group(b, rows, visit_strips<T, Visit>{visit, static_cast<int>(columns)});
}

template <Real T, class In, class Out>
struct copy_dropped_strip {
  strip_dropout<T> drop;
  In x;
  Out y;
  MQL4GREC_HD void operator()(index_t i, int j, int left) const {
    auto s = strip<T>::read(x.row(i).data + j, left);
    drop.apply(i, j, s);
    s.write(y.row(i).data + j, left);
  }
};

template <Real T, class In, class Out>
struct drop_and_add_strip {
  strip_dropout<T> drop;
  In x;
  Out y;
  MQL4GREC_HD void operator()(index_t i, int j, int left) const {
    auto const before = strip<T>::read(x.row(i).data + j, left);
    auto s = strip<T>::read(y.row(i).data + j, left);
    drop.apply(i, j, s);
    unrolled<strip<T>::parts>([&](auto q) { s.of[q] += before.of[q]; });
    s.write(y.row(i).data + j, left);
  }
};

}  // namespace detail

/// x (rows,d) = x ∘ mask / (1 − rate), in place.
template <Real T, class System>
void dropout_apply(backend<System>& b, dropout site, out_matrix<backend<System>, T> x) {
  if (site.active()) dropout_copy<T>(b, site, in_matrix<backend<System>, T>(x), x);
}

/// y (rows,d) = x (rows,d) + dropout(y).
template <Real T, class System>
void dropout_add(backend<System>& b, dropout site, in_matrix<backend<System>, T> x, out_matrix<backend<System>, T> y) {
  detail::for_each_row_strip<T>(
      b, x.rows(), x.columns(),
      detail::drop_and_add_strip<T, decltype(x), decltype(y)>{detail::strip_dropout<T>(site), x, y});
}

/// y (rows,d) = dropout(x); y may be x.
template <Real T, class System>
void dropout_copy(backend<System>& b, dropout site, in_matrix<backend<System>, T> x, out_matrix<backend<System>, T> y) {
  detail::for_each_row_strip<T>(
      b, x.rows(), x.columns(),
      detail::copy_dropped_strip<T, decltype(x), decltype(y)>{detail::strip_dropout<T>(site), x, y});
}

}  // namespace mql4grec::gpu
