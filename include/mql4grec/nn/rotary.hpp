#pragma once
// Rotary positions (Su et al. 2021) in the layout of Hugging Face, and the frequencies of its scaling variants.
// Frequencies and angles are computed on the host and rounded to float where transformers rounds them, so that long
// sequences have the same angles there and here.
#include <cmath>
#include <numbers>
#include <span>
#include <variant>
#include <vector>

#include "mql4grec/backend/contract/rotary.hpp"
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::nn {

/// All frequencies are divided by `factor` ("linear" in transformers).
struct linear_rotary_scaling {
  double factor = 1;  ///< a divisor
};

/// Low frequencies are divided by `factor`, high ones are kept, and those between are interpolated ("llama3" in
/// transformers).
struct llama3_rotary_scaling {
  double factor = 8;                  ///< a divisor of low frequencies
  double low_freq_factor = 1;         ///< waves longer than original_positions / low_freq_factor are low frequencies
  double high_freq_factor = 4;        ///< waves shorter than original_positions / high_freq_factor are high frequencies
  index_t original_positions = 8192;  ///< of the model before its context was extended
};

/// The frequencies of rotary positions.
struct rotary_options {
  index_t width = 64;   ///< columns of a head; even
  double base = 10000;  ///< rope_theta of transformers
  std::variant<std::monostate, linear_rotary_scaling, llama3_rotary_scaling> scaling = {};  ///< default: none
};

namespace detail {
inline double scaled_frequency(double frequency, std::monostate) { return frequency; }
inline double scaled_frequency(double frequency, linear_rotary_scaling const& how) {
  expects(how.factor > 0, "rotary: the factor is ", how.factor, ", expected a positive number");
  return frequency / how.factor;
}
inline double scaled_frequency(double frequency, llama3_rotary_scaling const& how) {
  expects(how.factor > 0 && how.low_freq_factor > 0 && how.high_freq_factor > how.low_freq_factor &&
              how.original_positions > 0,
          "rotary: the factors are ", how.factor, ", ", how.low_freq_factor, ", ", how.high_freq_factor, " for ",
          how.original_positions, " positions, expected positive numbers, the last factor above the second");
  double const waves = static_cast<double>(how.original_positions) * frequency / (2 * std::numbers::pi);
  if (waves < how.low_freq_factor) return frequency / how.factor;
  if (waves > how.high_freq_factor) return frequency;
  double const kept = (waves - how.low_freq_factor) / (how.high_freq_factor - how.low_freq_factor);
  return (1 - kept) * frequency / how.factor + kept * frequency;
}
}  // namespace detail

/// The width / 2 frequencies, base^(−2c / width), scaled. Throws error for options without meaning.
[[nodiscard]] inline std::vector<float> rotary_frequencies(rotary_options const& options) {
  expects(options.width > 0 && options.width % 2 == 0, "rotary: a head is ", options.width,
          " wide, expected a positive even number");
  expects(options.base > 0, "rotary: the base is ", options.base, ", expected a positive number");
  std::vector<float> frequencies;
  for (index_t c = 0; c < options.width; c += 2) {
    double const exponent = static_cast<double>(c) / static_cast<double>(options.width);
    auto const frequency = static_cast<double>(static_cast<float>(1 / std::pow(options.base, exponent)));
    frequencies.push_back(static_cast<float>(
        std::visit([&](auto const& how) { return detail::scaled_frequency(frequency, how); }, options.scaling)));
  }
  return frequencies;
}

/// The cosines and sines of the positions 0 … positions − 1 in a backend's memory.
template <class T, MemorySpace S>
class rotary_positions {
 public:
  /// Computes the table on the host and copies it to the backend; see rotary_frequencies.
  template <class B>
  rotary_positions(B& b, std::span<float const> frequencies, index_t positions)
      : positions_(positions), half_(std::ssize(frequencies)), memory_(b.template allocate<T>(2 * positions * half_)) {
    std::vector<T> entries(to_size(memory_.view_all().size()));
    for (index_t p = 0; p < positions; ++p)
      for (index_t c = 0; c < half_; ++c) {
        auto const angle = static_cast<double>(static_cast<float>(p) * frequencies[to_size(c)]);
        entries[to_size(p * half_ + c)] = static_cast<T>(std::cos(angle));
        entries[to_size((positions + p) * half_ + c)] = static_cast<T>(std::sin(angle));
      }
    copy(host_vector_view<T const>(entries.data(), std::ssize(entries)), memory_.view_all());
  }

  /// The number of positions.
  index_t size() const { return positions_; }
  /// A view of the table.
  rotary_table<S, T> table() const {
    T const* const first = memory_.view_all().data;
    return {{first, positions_, half_}, {first + positions_ * half_, positions_, half_}};
  }

 private:
  index_t positions_, half_;
  buffer<T, S> memory_;
};

/// The operation that rotary positions require of a backend.
template <class B, class T>
concept RotaryOps = Backend<B> && requires(B& b, rotary_table<typename B::memory_space, T> table,
                                           in_vector<B, index_t> positions, out_matrix<B, T> x) {
  rotary_forward<T>(b, table, positions, x);
};

/// Rotates the columns c and c + width / 2 of every head of x (rows, heads·width) by the angles of the row's position,
/// in place. Queries and keys that are neighbouring columns of one matrix are one call. Throws error when shapes
/// disagree. Positions (rows) must be below the table's rows; this is not checked.
template <class T, class B>
void rotary(B& b, rotary_table<typename B::memory_space, T> const& table, in_vector<B, index_t> positions,
            out_matrix<B, T> x) {
  static_assert(RotaryOps<B, T>, "this backend has no rotary for this scalar; add it in backend/<name>/rotary.hpp");
  auto const& [cosines, sines] = table;
  expects(cosines.rows() == sines.rows() && cosines.columns() == sines.columns(), "rotary: the cosines are ",
          cosines.rows(), " × ", cosines.columns(), " but the sines ", sines.rows(), " × ", sines.columns());
  expects(cosines.columns() > 0 && x.columns() % (2 * cosines.columns()) == 0, "rotary: x has ", x.columns(),
          " columns for heads of ", 2 * cosines.columns());
  expects(positions.size() == x.rows(), "rotary: x has ", x.rows(), " rows but there are ", positions.size(),
          " positions");
  rotary_forward<T>(b, table, positions, x);
}

}  // namespace mql4grec::nn
