#pragma once
#include <limits>

#include "mql4grec/backend/gpu/grouping.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

namespace detail {

template <Real T>
MQL4GREC_HD T squared_distance(T const* x, T const* v, index_t width) {
  T sum{};
  for (index_t j = 0; j < width; ++j) sum += (x[j] - v[j]) * (x[j] - v[j]);
  return sum;
}

template <Real T, class In, class Out>
struct distance_entry {
  In x, vectors;
  Out distances;
  MQL4GREC_HD void operator()(index_t i, index_t k) const {
    distances(i, k) = squared_distance<T>(x.row(i).data, vectors.row(k).data, x.columns());
  }
};

/// The first of the smallest entries.
template <Real T>
MQL4GREC_HD index_t smallest(T const* x, index_t n) {
  index_t best = 0;
  for (index_t k = 1; k < n; ++k)
    if (x[k] < x[best]) best = k;
  return best;
}

template <Real T, class In>
struct argmin_row {
  In distances;
  code_t* codes;
  MQL4GREC_HD void operator()(index_t i) const {
    codes[i] = static_cast<code_t>(smallest<T>(distances.row(i).data, distances.columns()));
  }
};

template <Real T, class In>
struct nearest_code_row {
  In x, vectors;
  code_t* codes;
  T* distances;
  MQL4GREC_HD void operator()(index_t i) const {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    T least = infinity;
    index_t best = 0;
    for (index_t k = 0; k < vectors.rows(); ++k) {
      T const distance = squared_distance<T>(x.row(i).data, vectors.row(k).data, x.columns());
      if (distance < least) {
        least = distance;
        best = k;
      }
    }
    codes[i] = static_cast<code_t>(best);
    distances[i] = least;
  }
};

template <class In, class Out>
struct subtract_code_entry {
  In vectors;
  code_t const* codes;
  Out x;
  MQL4GREC_HD void operator()(index_t i, index_t j) const { x(i, j) -= vectors(index(codes[i]), j); }
};

}  // namespace detail

// x (n,w) · vectors (K,w) -> distances (n,K): ‖x − v‖²
template <Real T, class System>
void squared_distances(backend<System>& b, in_matrix<backend<System>, T> x, in_matrix<backend<System>, T> vectors,
                       out_matrix<backend<System>, T> distances) {
  detail::for_each_entry(b, x.rows(), vectors.rows(), detail::distance_entry<T, decltype(x), decltype(distances)>{x, vectors, distances});
}

// distances (n,K) -> codes (n): the smallest of each row, the first of equals
template <Real T, class System>
void argmin_rows(backend<System>& b, in_matrix<backend<System>, T> distances, out_vector<backend<System>, code_t> codes) {
  detail::for_each_index(b, distances.rows(), detail::argmin_row<T, decltype(distances)>{distances, codes.data});
}

// x (n,w) · vectors (K,w) -> codes (n), the nearest and the first of equals; distances (n) to it
template <Real T, class System>
void nearest_code(backend<System>& b, in_matrix<backend<System>, T> x, in_matrix<backend<System>, T> vectors,
                  out_vector<backend<System>, code_t> codes, out_vector<backend<System>, T> distances) {
  detail::for_each_index(b, x.rows(), detail::nearest_code_row<T, decltype(x)>{x, vectors, codes.data, distances.data});
}

// x (n,w) -= vectors (K,w) of codes (n)
template <Real T, class System>
void subtract_codes(backend<System>& b, in_matrix<backend<System>, T> vectors, in_vector<backend<System>, code_t> codes,
                    out_matrix<backend<System>, T> x) {
  detail::for_each_entry(b, x.rows(), x.columns(), detail::subtract_code_entry<decltype(vectors), decltype(x)>{vectors, codes.data, x});
}

// sums (K,w) += x (n,w), counts (K) += 1, each at its row's code
template <Real T, class System>
void add_to_codes(backend<System>& b, in_matrix<backend<System>, T> x, in_vector<backend<System>, code_t> codes,
                  out_matrix<backend<System>, T> sums, out_vector<backend<System>, T> counts) {
  scratch_scope<backend<System>> const scope(b.scratch());
  auto const order = detail::sort_rows<code_t>(b, codes);
  detail::for_each_entry(b, order.size, x.columns(), detail::add_run<T, decltype(x), decltype(sums)>{order, x, sums});
  detail::for_each_index(b, order.size, detail::count_run<T>{order, counts.data});
}

}  // namespace mql4grec::gpu
