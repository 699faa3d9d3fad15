#pragma once
// Reads the weights of encoders: from a directory with config.json and safetensors files, in one or several files, of
// single, half or bfloat16 precision; and a LLaMA from a GGUF file.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/core/gguf.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/sharded_safetensors.hpp"
#include "mql4grec/embed/encoder/bert.hpp"
#include "mql4grec/embed/encoder/clip_vision.hpp"
#include "mql4grec/embed/encoder/config_json.hpp"
#include "mql4grec/embed/encoder/llama.hpp"

namespace mql4grec::embed {

namespace detail {

/// Where an encoder's parameters are read from. Parameters have their names in the layout.
class weight_source {
 public:
  virtual ~weight_source() = default;

  /// The number of tensors of all kinds.
  virtual index_t tensors() const = 0;
  /// The file that lists the tensors, for errors.
  virtual std::filesystem::path const& path() const = 0;
  /// The name of a parameter in the file.
  virtual std::string name_of(nn::parameter const& p) const = 0;
  /// The shape of a tensor. Throws file_error when it is missing.
  virtual std::vector<index_t> shape(std::string const& name) const = 0;
  /// Reads a tensor of this shape. Throws file_error when it is missing or has another shape.
  virtual void read(nn::parameter const& p, std::vector<index_t> const& shape, host_vector_view<float> out) const = 0;
};

/// Opens a directory of safetensors. Names may have one of these prefixes; the one with which `probe` exists is used.
std::unique_ptr<weight_source> open_safetensors(std::filesystem::path const& directory, std::string const& probe,
                                                std::vector<std::string> const& prefixes);

/// A LLaMA in a GGUF file, which must outlive the source. q and k are permuted to half-rotation.
std::unique_ptr<weight_source> open_gguf_llama(gguf const& file, llama_config const& config);

/// Whether a path is a GGUF file or a directory with a LLaMA. Throws file_error if it is neither that nor a BERT.
bool is_llama(std::filesystem::path const& path);

/// config.json of a directory, as `from_json` reads it.
bert_config read_bert_config(std::filesystem::path const& directory);
llama_config read_llama_config(std::filesystem::path const& directory);
clip_vision_config read_clip_vision_config(std::filesystem::path const& directory);

/// The shape of a parameter in files.
inline std::vector<index_t> shape_in_files(bert_config const&, nn::parameter const& p) { return p.shape(); }
inline std::vector<index_t> shape_in_files(llama_config const&, nn::parameter const& p) { return p.shape(); }
inline std::vector<index_t> shape_in_files(clip_vision_config const& c, nn::parameter const& p) {
  if (p.name == "embeddings.patch_embedding.weight") return {c.width, c.channels, c.patch, c.patch};
  return p.shape();
}

/// Compares the number of layers, before memory is allocated for their names.
void check_layers(weight_source const& from, index_t layers);

/// Compares all shapes before any memory is allocated, so that a damaged configuration can't request an arbitrary
/// amount.
template <class Config>
void check_shapes(weight_source const& from, Config const& c) {
  check_layers(from, c.layers);
  nn::parameter_layout const layout = layout_of(c);
  for (auto const& p : layout.entries()) {
    auto const name = from.name_of(p);
    auto const found = from.shape(name), expected = shape_in_files(c, p);
    expects_file(found == expected, from.path(), "tensor '", name, "': shape ", core::detail::shape_text(found),
                 ", expected ", core::detail::shape_text(expected), " by the configuration");
  }
}

/// Reads one parameter. Throws file_error for a value that isn't finite.
template <class T, class Config>
void read_parameter(weight_source const& from, Config const& c, nn::parameter const& p, host_vector_view<T> out) {
  if constexpr (std::same_as<T, float>) {
    from.read(p, shape_in_files(c, p), out);
  } else {
    std::vector<float> values(to_size(out.size()));
    from.read(p, shape_in_files(c, p), view_of(std::span(values)));
    std::ranges::transform(values, out.data, [](float x) { return static_cast<T>(x); });
  }
  auto const* const bad = std::find_if_not(out.data, out.data + out.size(), [](T x) { return std::isfinite(x); });
  expects_file(bad == out.data + out.size(), from.path(), "tensor '", from.name_of(p), "': entry ", bad - out.data,
               " isn't a finite number");
}

/// Reads a whole model.
template <class Model, Backend B, class Config>
Model read_encoder(B& backend, weight_source const& from, Config const& c) {
  check_shapes(from, c);
  Model model(backend, c);
  auto const parameters = model.parameters();
  fill(parameters, [&](auto values) {
    for (auto const& p : model.layout().entries()) read_parameter(from, c, p, values.part(p.offset, p.size()));
  });
  return model;
}

}  // namespace detail

/// Reads a BERT from a directory as transformers' save_pretrained writes it. Throws file_error if a file is missing or
/// damaged, if config.json describes another architecture, and if a tensor is missing, not finite or of another shape.
/// Tensors of heads and poolers are ignored.
template <Real T, Backend B>
[[nodiscard]] bert<B, T> read_bert(B& backend, std::filesystem::path const& directory) {
  auto const config = detail::read_bert_config(directory);
  auto const files = detail::open_safetensors(directory, "embeddings.word_embeddings.weight", {"", "bert."});
  return detail::read_encoder<bert<B, T>>(backend, *files, config);
}

/// Reads a LLaMA from a directory, or from a GGUF file of architecture "llama". Throws file_error as read_bert().
template <Real T, Backend B>
[[nodiscard]] llama<B, T> read_llama(B& backend, std::filesystem::path const& path) {
  if (path.extension() == ".gguf") {
    gguf const file(path);
    auto const config = llama_from_gguf(file);
    return detail::read_encoder<llama<B, T>>(backend, *detail::open_gguf_llama(file, config), config);
  }
  auto const config = detail::read_llama_config(path);
  auto const files = detail::open_safetensors(path, "embed_tokens.weight", {"", "model."});
  return detail::read_encoder<llama<B, T>>(backend, *files, config);
}

/// Reads the vision part of a CLIP, with its projection, from a directory. Throws file_error as read_bert(). Tensors of
/// the text part are ignored.
template <Real T, Backend B>
[[nodiscard]] clip_vision<B, T> read_clip_vision(B& backend, std::filesystem::path const& directory) {
  auto const config = detail::read_clip_vision_config(directory);
  auto const files = detail::open_safetensors(directory, "embeddings.class_embedding", {"vision_model."});
  return detail::read_encoder<clip_vision<B, T>>(backend, *files, config);
}

}  // namespace mql4grec::embed

#if !MQL4GREC_COMPILED
#include "mql4grec/embed/encoder/checkpoint.inl.hpp"
#endif
