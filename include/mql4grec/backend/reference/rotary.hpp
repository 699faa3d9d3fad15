#pragma once
// Rotary positions (Su et al. 2021), forward pass only, in the layout of Hugging Face: a head's column c is paired with
// column c + width / 2. Weights for the interleaved layout of the paper have to be permuted.
#include "mql4grec/backend/contract/rotary.hpp"
#include "mql4grec/backend/reference/backend.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::reference {

/// Rotates the pairs of columns of every head of x (rows, heads·width), in place. positions (rows) are the rows of the
/// table.
template <Field T>
void rotary_forward(backend&, rotary_table<host_space, T> const& table, in_vector<backend, index_t> positions,
                    out_matrix<backend, T> x) {
  index_t const half = table.cosines.columns();
  for (index_t i = 0; i < x.rows(); ++i)
    for (index_t first = 0; first < x.columns(); first += 2 * half)
      for (index_t c = 0; c < half; ++c) {
        T const cosine = table.cosines(positions(i), c), sine = table.sines(positions(i), c);
        T const a = x(i, first + c), b = x(i, first + half + c);
        x(i, first + c) = a * cosine - b * sine;
        x(i, first + half + c) = b * cosine + a * sine;
      }
}

}  // namespace mql4grec::reference
