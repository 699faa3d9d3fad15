#pragma once
// Rotary positions for float: the two halves of a head are two contiguous loops.
#include "mql4grec/backend/cpu/operations.hpp"
#include "mql4grec/backend/cpu/runtime/dispatch.hpp"

namespace mql4grec::cpu {

namespace detail {

struct rotary_forward_kernel {
  MQL4GREC_INLINE static void run(rotary_table<host_space, float> const& table, index_t const* positions,
                                  out_matrix<backend, float> x) {
    index_t const half = table.cosines.columns(), columns = x.columns();
    for (index_t i = 0; i < x.rows(); ++i) {
      float const *const cosines = table.cosines.data + positions[i] * table.cosines.stride, *const sines =
                                                                                                 table.sines.data +
                                                                                                 positions[i] *
                                                                                                     table.sines.stride;
      float* const row = x.data + i * x.stride;
      for (index_t first = 0; first < columns; first += 2 * half) {
        float *const a = row + first, *const b = a + half;
        for (index_t c = 0; c < half; ++c) {
          float const left = a[c], right = b[c];
          a[c] = left * cosines[c] - right * sines[c];
          b[c] = right * cosines[c] + left * sines[c];
        }
      }
    }
  }
};

}  // namespace detail

template <std::same_as<float> T>
void rotary_forward(backend&, rotary_table<host_space, T> const& table, in_vector<backend, index_t> positions,
                    out_matrix<backend, T> x) {
  dispatch<detail::rotary_forward_kernel>(table, positions.data, x);
}

}  // namespace mql4grec::cpu
