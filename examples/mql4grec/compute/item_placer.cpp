// Trained translators that give single items their words.
#include "compute/item_placer.hpp"

#include <memory>
#include <utility>

#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/pipeline/quantizer.hpp"

namespace mql4grec::program {

namespace {

/// `model` and the backend that it was read on, for as long as the result exists.
template <class Model>
auto place_with(cpu::backend backend, Model model) {
  auto const owned = std::make_shared<std::pair<cpu::backend, Model>>(std::move(backend), std::move(model));
  return [owned](std::span<float const> features, pipeline::placement const& where) {
    return pipeline::place_sequence(owned->first, owned->second, view_of(features), where);
  };
}

}  // namespace

item_placer load_placer(std::filesystem::path const& translator) {
  auto const about = pipeline::read_quantizer_description(translator);
  auto const file = translator / "model.safetensors";
  item_placer out{.kind = about.kind, .width = about.input_width, .place = {}};
  cpu::backend backend({.threads = 1});
  if (about.quantizer == pipeline::quantizer_kind::residual_kmeans) {
    auto model = quantize::read_residual_kmeans(backend, file);
    out.place = place_with(std::move(backend), std::move(model));
  } else {
    auto model = quantize::read_rq_vae<float>(backend, file);
    out.place = place_with(std::move(backend), std::move(model));
  }
  return out;
}

}  // namespace mql4grec::program
