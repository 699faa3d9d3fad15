#pragma once
// The definitions of embed/encoder/config_json.hpp.
#include <initializer_list>
#include <string>
#include <utility>

#include "mql4grec/core/detail/config_reader.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/embed/encoder/config_json.hpp"

namespace mql4grec::embed {

namespace detail {

/// The members of an encoder's config.json.
class encoder_json : public core::detail::config_reader {
 public:
  using config_reader::config_reader;

  /// The value of a key, which must be one of a few strings; the first if it is missing.
  std::string one_of(std::string const& key, std::initializer_list<char const*> expected) const {
    if (!has(key)) return *expected.begin();
    std::string list;
    for (auto const* word : expected) {
      if (object_.at(key) == word) return word;
      list += (list.empty() ? "\"" : " or \"") + std::string(word) + "\"";
    }
    raise<file_error>(path_.string(), ": key '", key, "': found ", core::detail::shown(object_.at(key)), ", expected ",
                      list, "; anything else isn't supported");
  }
  /// Throws file_error for another architecture.
  std::string architecture(std::initializer_list<char const*> expected) const {
    at("model_type");
    return one_of("model_type", expected);
  }
};

/// Returns the configuration, or throws file_error if a member is out of range.
template <class Config>
Config validated(Config const& c, std::filesystem::path const& path) {
  try {
    validate(c);
  } catch (error const& e) {
    raise<file_error>(path.string(), ": ", e.what());
  }
  return c;
}

MQL4GREC_DEFINITION decltype(nn::rotary_options::scaling) read_rotary_scaling(json const& object,
                                                                              std::filesystem::path const& path) {
  encoder_json const file(object, path);
  auto const kind = file.one_of(file.has("rope_type") ? "rope_type" : "type", {"default", "linear", "llama3"});
  if (kind == "default") return {};
  file.at("factor");
  if (kind == "linear") return nn::linear_rotary_scaling{.factor = file.number("factor", 1)};
  for (char const* key : {"low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}) file.at(key);
  return nn::llama3_rotary_scaling{.factor = file.number("factor", 8),
                                   .low_freq_factor = file.number("low_freq_factor", 1),
                                   .high_freq_factor = file.number("high_freq_factor", 4),
                                   .original_positions = file.integer("original_max_position_embeddings", 8192)};
}

}  // namespace detail

MQL4GREC_DEFINITION bert_config bert_from_config_json(json const& object, std::filesystem::path const& path) {
  detail::encoder_json const file(object, path);
  file.architecture({"bert"});
  for (char const* key : {"is_decoder", "add_cross_attention"}) file.must_be(key, false);
  file.must_be("hidden_act", "gelu");
  file.must_be("position_embedding_type", "absolute");
  file.must_be("pruned_heads", json::object());
  bert_config c;
  c.vocabulary = file.integer("vocab_size", c.vocabulary);
  c.width = file.integer("hidden_size", c.width);
  c.layers = file.integer("num_hidden_layers", c.layers);
  c.heads = file.integer("num_attention_heads", c.heads);
  c.inner_width = file.integer("intermediate_size", c.inner_width);
  c.positions = file.integer("max_position_embeddings", c.positions);
  c.types = file.integer("type_vocab_size", c.types);
  c.epsilon = file.number("layer_norm_eps", c.epsilon);
  return detail::validated(c, path);
}

MQL4GREC_DEFINITION llama_config llama_from_config_json(json const& object, std::filesystem::path const& path) {
  detail::encoder_json const file(object, path);
  file.architecture({"llama"});
  file.must_be("hidden_act", "silu");
  file.must_be("partial_rotary_factor", 1.0);
  file.must_be("pruned_heads", json::object());
  llama_config c;
  c.vocabulary = file.integer("vocab_size", c.vocabulary);
  c.width = file.integer("hidden_size", c.width);
  c.layers = file.integer("num_hidden_layers", c.layers);
  c.heads = file.integer("num_attention_heads", c.heads);
  expects_file(c.heads >= 1, path, "key 'num_attention_heads': found ", c.heads, ", expected at least 1");
  c.key_heads = file.integer("num_key_value_heads", c.heads);
  expects_file(file.has("head_dim") || c.width % c.heads == 0, path, "hidden_size is ", c.width,
               ", expected a multiple of num_attention_heads ", c.heads);
  c.rotary.width = file.integer("head_dim", c.width / c.heads);
  c.inner_width = file.integer("intermediate_size", c.inner_width);
  c.positions = file.integer("max_position_embeddings", c.positions);
  c.epsilon = file.number("rms_norm_eps", c.epsilon);
  c.rotary.base = file.number("rope_theta", c.rotary.base);
  if (file.has("rope_scaling")) c.rotary.scaling = detail::read_rotary_scaling(file.at("rope_scaling"), path);
  c.attention_bias = file.boolean("attention_bias", false);
  c.feed_forward_bias = file.boolean("mlp_bias", false);
  return detail::validated(c, path);
}

MQL4GREC_DEFINITION clip_vision_config clip_vision_from_config_json(json const& object,
                                                                    std::filesystem::path const& path) {
  detail::encoder_json const whole(object, path);
  bool const nested = whole.architecture({"clip", "clip_vision_model"}) == "clip";
  detail::encoder_json const file(nested ? whole.at("vision_config") : object, path);
  file.must_be("model_type", "clip_vision_model");
  clip_vision_config c;
  c.width = file.integer("hidden_size", c.width);
  c.layers = file.integer("num_hidden_layers", c.layers);
  c.heads = file.integer("num_attention_heads", c.heads);
  c.inner_width = file.integer("intermediate_size", c.inner_width);
  c.channels = file.integer("num_channels", c.channels);
  c.image_size = file.integer("image_size", c.image_size);
  c.patch = file.integer("patch_size", c.patch);
  c.projection = whole.integer("projection_dim", c.projection);
  c.epsilon = file.number("layer_norm_eps", c.epsilon);
  bool const exact = file.one_of("hidden_act", {"quick_gelu", "gelu"}) == "gelu";
  c.activation = exact ? clip_activation::gelu : clip_activation::quick_gelu;
  return detail::validated(c, path);
}

MQL4GREC_DEFINITION llama_config llama_from_gguf(gguf const& file) {
  auto const& path = file.path();
  auto const architecture = file.value<std::string>("general.architecture");
  expects_file(architecture == "llama", path, "key 'general.architecture': found \"",
               core::detail::printable(architecture), "\", expected \"llama\"");
  auto const integer = [&](char const* key) { return file.value<index_t>(std::string("llama.") + key); };
  auto const& tokens = file.info("token_embd.weight");
  expects_file(tokens.shape.size() == 2, path, "tensor 'token_embd.weight': shape ",
               core::detail::shape_text(tokens.shape), ", expected a matrix");
  llama_config c;
  c.vocabulary = tokens.shape[0];
  c.width = integer("embedding_length");
  c.layers = integer("block_count");
  c.heads = integer("attention.head_count");
  c.key_heads = file.value_or<index_t>("llama.attention.head_count_kv", c.heads);
  expects_file(c.heads >= 1 && c.width % c.heads == 0, path, "key 'llama.embedding_length': found ", c.width,
               ", expected a multiple of llama.attention.head_count ", c.heads);
  c.rotary.width = file.value_or<index_t>("llama.attention.key_length", c.width / c.heads);
  c.inner_width = integer("feed_forward_length");
  c.positions = integer("context_length");
  c.epsilon = file.value<double>("llama.attention.layer_norm_rms_epsilon");
  c.rotary.base = file.value_or<double>("llama.rope.freq_base", 10000);
  auto const must_be_head_width = [&](char const* key) {
    auto const found = file.value_or<index_t>(key, c.head_width());
    expects_file(found == c.head_width(), path, "key '", key, "': found ", found, ", expected the heads' width ",
                 c.head_width());
  };
  must_be_head_width("llama.rope.dimension_count");
  must_be_head_width("llama.attention.value_length");
  expects_file(file.value_or<index_t>("llama.expert_count", 0) == 0, path,
               "key 'llama.expert_count': mixtures of experts aren't supported");
  auto const scaling = file.value_or<std::string>("llama.rope.scaling.type", "none");
  expects_file(scaling == "none" || scaling == "linear", path, "key 'llama.rope.scaling.type': found \"",
               core::detail::printable(scaling), "\", expected \"none\" or \"linear\"; anything else isn't supported");
  if (scaling == "linear")
    c.rotary.scaling = nn::linear_rotary_scaling{.factor = file.value<double>("llama.rope.scaling.factor")};
  c.attention_bias = file.contains("blk.0.attn_q.bias");
  c.feed_forward_bias = file.contains("blk.0.ffn_up.bias");
  detail::validated(c, path);
  if (file.contains("rope_freqs.weight")) {
    c.rotary_divisors.resize(to_size(c.head_width() / 2));
    file.read("rope_freqs.weight", {c.head_width() / 2}, view_of(std::span(c.rotary_divisors)));
  }
  return detail::validated(c, path);
}

}  // namespace mql4grec::embed
