#pragma once
// The angles of a LLaMA's rotary positions for one batch. They are computed for its longest text only, so a model with
// room for long texts needs no large table.
#include <cmath>
#include <vector>

#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/embed/encoder/config.hpp"
#include "mql4grec/nn/rotary.hpp"

namespace mql4grec::embed::detail {

/// The cosines and sines of the positions 0 … positions − 1, in the scratch. Angles are rounded to float, as
/// transformers rounds them.
template <class T, class B>
rotary_table<typename B::memory_space, T> take_rotary_table(B& b, llama_config const& c, index_t positions) {
  auto frequencies = nn::rotary_frequencies(c.rotary);
  for (std::size_t i = 0; i < c.rotary_divisors.size(); ++i) frequencies[i] /= c.rotary_divisors[i];
  index_t const half = std::ssize(frequencies);
  auto const table = [&](auto&& of) -> in_matrix<B, T> {
    auto const write = [&](host_vector_view<T> out) {
      for (index_t i = 0; i < positions; ++i)
        for (index_t j = 0; j < half; ++j)
          out(i * half + j) = static_cast<T>(of(static_cast<double>(static_cast<float>(i) * frequencies[to_size(j)])));
    };
    return {device_copy<T, B>(b, positions * half, write).view_all().data, positions, half};
  };
  return {table([](double angle) { return std::cos(angle); }), table([](double angle) { return std::sin(angle); })};
}

}  // namespace mql4grec::embed::detail
