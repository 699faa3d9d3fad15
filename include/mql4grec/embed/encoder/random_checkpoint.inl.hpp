#pragma once
// The definitions of embed/encoder/random_checkpoint.hpp.
#include <cctype>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/core/safetensors.hpp"
#include "mql4grec/embed/encoder/checkpoint.hpp"
#include "mql4grec/embed/encoder/random_checkpoint.hpp"

namespace mql4grec::embed {

namespace detail {

/// The standard deviation of a parameter; gains are 1 and biases 0. Positions, the class token and BERT's layers are
/// small, so that the words that enter the residual stream decide what leaves it. CLIP's layers are not, because only
/// they bring the patches to the class token.
inline double random_deviation(nn::parameter const& p) {
  bool const position = p.name.find("position") != p.name.npos || p.name.find("token_type") != p.name.npos ||
                        p.name.find("class_embedding") != p.name.npos;
  if (position) return 0.1;
  if (p.name.find("word_embeddings") != p.name.npos) return 1;
  if (p.is_vector) return 0;
  bool const bert_layer = p.name.starts_with("encoder.layer.");
  return (bert_layer ? 0.3 : 1) / std::sqrt(static_cast<double>(p.columns));
}

/// Random parameters with the names and shapes of a checkpoint.
template <class Config, class NameAndShape>
void write_random_parameters(std::filesystem::path const& path, Config const& config, std::uint64_t seed,
                             NameAndShape&& in_file) {
  nn::parameter_layout const layout = layout_of((validate(config), config));
  std::vector<std::vector<float>> values;
  std::vector<named_tensor> tensors;
  for (auto const& p : layout.entries()) {
    random_stream random(seed, static_cast<std::uint64_t>(p.offset));
    double const deviation = random_deviation(p);
    bool const gain = p.name.ends_with("weight") && deviation == 0;
    auto& entries = values.emplace_back(to_size(p.size()));
    for (float& x : entries) x = static_cast<float>(gain ? 1 : deviation * random.normal());
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    auto [name, shape] = in_file(layout.entries()[i]);
    tensors.push_back({.name = std::move(name),
                       .shape = std::move(shape),
                       .values = host_vector_view<float const>(values[i].data(), std::ssize(values[i]))});
  }
  write_safetensors(path, tensors, {{"format", "pt"}});
}

/// The words of texts as WordPiece with lower case splits them: letters and digits together, other characters alone.
inline std::set<std::string> words_of(std::span<std::string const> texts) {
  std::set<std::string> words;
  for (auto const& text : texts) {
    std::string word;
    for (char const c : text + ' ') {
      auto const byte = static_cast<unsigned char>(c);
      if (std::isalnum(byte) || byte >= 0x80) {
        word += static_cast<char>(std::tolower(byte));
        continue;
      }
      if (!word.empty()) words.insert(std::exchange(word, {}));
      if (std::ispunct(byte)) words.insert(std::string(1, c));
    }
  }
  return words;
}

}  // namespace detail

MQL4GREC_DEFINITION void write_random_bert(std::filesystem::path const& directory, std::span<std::string const> texts,
                                           random_encoder_options const& options) {
  std::string vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
  auto const words = detail::words_of(texts);
  for (auto const& word : words) vocabulary += word + "\n";
  bert_config const c{.vocabulary = std::ssize(words) + 5,
                      .width = options.width,
                      .layers = options.layers,
                      .heads = options.heads,
                      .inner_width = 4 * options.width,
                      .positions = 128};
  make_directory(directory);
  write_file(directory / "vocab.txt", vocabulary);
  write_json(directory / "tokenizer_config.json", {{"do_lower_case", true}, {"tokenizer_class", "BertTokenizer"}});
  detail::write_random_parameters(directory / "model.safetensors", c, options.seed, [](nn::parameter const& p) {
    return std::pair<std::string, std::vector<index_t>>(p.name, p.shape());
  });
  write_json(directory / "config.json", {{"model_type", "bert"},
                                         {"vocab_size", c.vocabulary},
                                         {"hidden_size", c.width},
                                         {"num_hidden_layers", c.layers},
                                         {"num_attention_heads", c.heads},
                                         {"intermediate_size", c.inner_width},
                                         {"max_position_embeddings", c.positions},
                                         {"type_vocab_size", c.types},
                                         {"layer_norm_eps", c.epsilon},
                                         {"hidden_act", "gelu"}});
}

MQL4GREC_DEFINITION void write_random_clip(std::filesystem::path const& directory,
                                           random_encoder_options const& options) {
  clip_vision_config const c{.width = options.width,
                             .layers = options.layers,
                             .heads = options.heads,
                             .inner_width = 4 * options.width,
                             .image_size = options.image_size,
                             .patch = options.patch,
                             .projection = options.width};
  make_directory(directory);
  detail::write_random_parameters(directory / "model.safetensors", c, options.seed, [&](nn::parameter const& p) {
    auto const name = p.name == "visual_projection.weight" ? p.name : "vision_model." + p.name;
    return std::pair<std::string, std::vector<index_t>>(name, detail::shape_in_files(c, p));
  });
  write_json(directory / "preprocessor_config.json",
             {{"do_resize", true},
              {"size", {{"shortest_edge", c.image_size}}},
              {"do_center_crop", true},
              {"crop_size", {{"height", c.image_size}, {"width", c.image_size}}},
              {"resample", 3}});
  write_json(directory / "config.json", {{"model_type", "clip_vision_model"},
                                         {"hidden_size", c.width},
                                         {"num_hidden_layers", c.layers},
                                         {"num_attention_heads", c.heads},
                                         {"intermediate_size", c.inner_width},
                                         {"num_channels", c.channels},
                                         {"image_size", c.image_size},
                                         {"patch_size", c.patch},
                                         {"projection_dim", c.projection},
                                         {"layer_norm_eps", c.epsilon},
                                         {"hidden_act", "quick_gelu"}});
}

}  // namespace mql4grec::embed
