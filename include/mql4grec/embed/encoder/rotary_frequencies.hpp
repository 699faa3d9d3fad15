#pragma once
// The angles of rotary positions, with the scaling variants of transformers' modeling_rope_utils.
#include <cmath>
#include <numbers>
#include <vector>

#include "mql4grec/backend/contract/rotary.hpp"
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/embed/encoder/config.hpp"

namespace mql4grec::embed {

/// The angle by which one position rotates each pair of columns (head width / 2), in radians.
[[nodiscard]] inline std::vector<double> rotary_frequencies(llama_config const& c) {
  auto const& s = c.scaling;
  auto const scaled = [&s](double frequency) {
    if (s.kind == rotary_scaling::variant::none) return frequency;
    if (s.kind == rotary_scaling::variant::linear) return frequency / s.factor;
    // Llama 3.1: wavelengths of a small part of the original context stay, long ones are stretched, between them a
    // blend
    double const turns = s.original_positions * frequency / (2 * std::numbers::pi);  // in the original context
    if (turns > s.high_frequency_factor) return frequency;
    if (turns < s.low_frequency_factor) return frequency / s.factor;
    double const smooth = (turns - s.low_frequency_factor) / (s.high_frequency_factor - s.low_frequency_factor);
    return (1 - smooth) * frequency / s.factor + smooth * frequency;
  };
  std::vector<double> frequencies;
  for (index_t i = 0; i < c.head_width / 2; ++i) {
    double const exponent = static_cast<double>(2 * i) / static_cast<double>(c.head_width);
    double const divisor = c.rotary_divisors.empty() ? 1 : c.rotary_divisors[to_size(i)];
    frequencies.push_back(scaled(std::pow(c.rotary_base, -exponent) / divisor));
  }
  return frequencies;
}

namespace detail {

/// The cosines and sines of the positions 0 … positions − 1, in the scratch.
template <class T, class B>
rotary_table<typename B::memory_space, T> take_rotary_table(B& b, llama_config const& c, index_t positions) {
  auto const frequencies = rotary_frequencies(c);
  index_t const half = std::ssize(frequencies);
  auto const table = [&](auto&& of) -> in_matrix<B, T> {
    auto const write = [&](host_vector_view<T> out) {
      for (index_t i = 0; i < positions; ++i)
        for (index_t j = 0; j < half; ++j)
          out(i * half + j) = static_cast<T>(of(static_cast<double>(i) * frequencies[to_size(j)]));
    };
    return {device_copy<T, B>(b, positions * half, write).view_all().data, positions, half};
  };
  return {table([](double angle) { return std::cos(angle); }), table([](double angle) { return std::sin(angle); })};
}

}  // namespace detail
}  // namespace mql4grec::embed
