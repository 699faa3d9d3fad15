#pragma once
// Definitions of what seq2seq/checkpoint.hpp declares and isn't a template.
#include <algorithm>

#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/seq2seq/checkpoint.hpp"

namespace mql4grec::seq2seq::detail {

MQL4GREC_DEFINITION std::vector<std::string> names_of(t5_config const& c, nn::parameter const& p) {
  if (p.name != "shared.weight") return {p.name};
  std::vector<std::string> names = {p.name, "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"};
  if (c.tied) names.push_back("lm_head.weight");
  return names;
}

/// Throws file_error for a tensor that config.json's T5 doesn't have. Permitted are copies of the embedding, and a
/// tensor that old T5 checkpoints contain and transformers never reads.
MQL4GREC_DEFINITION void refuse_unknown_tensors(sharded_safetensors const& files, t5_config const& c,
                                                nn::parameter_layout const& layout) {
  std::vector<std::string> known = {"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"};
  for (auto const& parameter : layout.entries())
    for (auto& name : names_of(c, parameter)) known.push_back(std::move(name));
  std::ranges::sort(known);
  for (auto const& name : files.names())
    expects_file(std::ranges::binary_search(known, name), files.file_of(name).path(), "tensor '",
                 core::detail::printable(name), "': config.json's T5 has no such parameter");
}

MQL4GREC_DEFINITION void check_shapes(sharded_safetensors const& files, t5_config const& c) {
  auto const tensors = std::ssize(files.names());
  expects_file(c.encoder_layers <= tensors && c.decoder_layers <= tensors, files.path(), "has ", tensors,
               " tensors, but config.json has ", c.encoder_layers, " + ", c.decoder_layers, " layers");
  auto const layout = t5_layout(c);
  for (auto const& parameter : layout.entries()) {
    bool found = false;
    for (auto const& name : names_of(c, parameter)) {
      if (!files.contains(name)) continue;
      found = true;
      auto const& file = files.file_of(name);
      expects_file(file.info(name).shape == parameter.shape(), file.path(), "tensor '", name, "': shape ",
                   core::detail::shape_text(file.info(name).shape), ", expected ",
                   core::detail::shape_text(parameter.shape()), " by config.json");
    }
    expects_file(found, files.path(), "tensor '", parameter.name, "' is missing");
  }
  refuse_unknown_tensors(files, c, layout);
}

MQL4GREC_DEFINITION void write_config(std::filesystem::path const& path, t5_config const& c) {
  std::string const config = to_config_json(c).dump(2) + "\n";
  if (!std::filesystem::is_regular_file(path) || read_file(path) != config) write_file(path, config);
}

}  // namespace mql4grec::seq2seq::detail
