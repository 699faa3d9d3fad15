#pragma once
// Definitions of what pipeline/item_placer.hpp declares.
#include <memory>
#include <utility>

#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/pipeline/item_placer.hpp"
#include "mql4grec/pipeline/quantizer.hpp"

namespace mql4grec::pipeline {

namespace detail {

/// `model` and the backend that it was read on, for as long as the result exists.
template <class Model>
auto place_with(cpu::backend backend, Model model, index_t width) {
  auto const owned = std::make_shared<std::pair<cpu::backend, Model>>(std::move(backend), std::move(model));
  return [owned, width](std::span<float const> features, placement const& where) {
    expects(std::ssize(features) == width, features.size(), " features for a translator of ", width);
    return place_sequence(owned->first, owned->second, view_of(features), where);
  };
}

}  // namespace detail

MQL4GREC_DEFINITION item_placer read_item_placer(std::filesystem::path const& translator) {
  auto const about = read_quantizer_description(translator);
  auto const file = translator / "model.safetensors";
  item_placer out{.kind = about.kind, .width = about.input_width, .place = {}};
  cpu::backend backend({.threads = 1});
  if (about.quantizer == quantizer_kind::residual_kmeans) {
    auto model = quantize::read_residual_kmeans(backend, file);
    out.place = detail::place_with(std::move(backend), std::move(model), about.input_width);
  } else {
    auto model = quantize::read_rq_vae<float>(backend, file);
    out.place = detail::place_with(std::move(backend), std::move(model), about.input_width);
  }
  return out;
}

}  // namespace mql4grec::pipeline
