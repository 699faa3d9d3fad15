#pragma once
// The definitions of embed/encoder/checkpoint.hpp that are not templates.
#include <array>
#include <utility>

#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/embed/encoder/checkpoint.hpp"

namespace mql4grec::embed::detail {

/// Safetensors files of a directory.
class safetensors_source final : public weight_source {
 public:
  safetensors_source(std::filesystem::path const& directory, std::string const& probe,
                     std::vector<std::string> const& prefixes)
      : files_(directory), prefix_(prefixes.front()) {
    for (auto const& prefix : prefixes)
      if (files_.contains(prefix + probe)) prefix_ = prefix;
  }

  index_t tensors() const override { return std::ssize(files_.names()); }
  std::filesystem::path const& path() const override { return files_.path(); }
  std::string name_of(nn::parameter const& p) const override {
    return p.name == "visual_projection.weight" ? p.name : prefix_ + p.name;  // CLIP's only name without a prefix
  }
  std::vector<index_t> shape(std::string const& name) const override { return files_.file_of(name).info(name).shape; }
  void read(nn::parameter const& p, std::vector<index_t> const& shape, host_vector_view<float> out) const override {
    auto const name = name_of(p);
    files_.file_of(name).read(name, shape, out);
  }

 private:
  sharded_safetensors files_;
  std::string prefix_;
};

/// A LLaMA in a GGUF file. llama.cpp rotates pairs of neighbouring columns, and so permutes the rows of q and k: its
/// row 2i + s of a head is row i + s · width / 2 here.
class gguf_llama_source final : public weight_source {
 public:
  gguf_llama_source(gguf const& file, llama_config const& config) : file_(file), head_width_(config.head_width()) {}

  index_t tensors() const override { return std::ssize(file_.names()); }
  std::filesystem::path const& path() const override { return file_.path(); }
  std::string name_of(nn::parameter const& p) const override {
    if (p.name == "embed_tokens.weight") return "token_embd.weight";
    if (p.name == "norm.weight") return "output_norm.weight";
    constexpr std::array<std::pair<std::string_view, std::string_view>, 9> names = {
        {{"self_attn.q_proj", "attn_q"},
         {"self_attn.k_proj", "attn_k"},
         {"self_attn.v_proj", "attn_v"},
         {"self_attn.o_proj", "attn_output"},
         {"mlp.gate_proj", "ffn_gate"},
         {"mlp.up_proj", "ffn_up"},
         {"mlp.down_proj", "ffn_down"},
         {"input_layernorm", "attn_norm"},
         {"post_attention_layernorm", "ffn_norm"}}};
    // layers.N.<part>.weight or .bias
    std::string_view const name = p.name;
    auto const after = name.find('.', 7), last = name.rfind('.');
    auto const part = name.substr(after + 1, last - after - 1);
    auto const* const found = std::ranges::find(names, part, &std::pair<std::string_view, std::string_view>::first);
    return "blk." + std::string(name.substr(7, after - 7)) + "." + std::string(found->second) +
           std::string(name.substr(last));
  }
  std::vector<index_t> shape(std::string const& name) const override { return file_.info(name).shape; }
  void read(nn::parameter const& p, std::vector<index_t> const& shape, host_vector_view<float> out) const override {
    file_.read(name_of(p), shape, out);
    if (p.name.find(".q_proj.") == p.name.npos && p.name.find(".k_proj.") == p.name.npos) return;
    std::vector<float> head(to_size(head_width_ * p.columns));
    for (index_t first = 0; first < p.rows; first += head_width_) {
      float* const rows = out.data + first * p.columns;
      std::copy_n(rows, head.size(), head.data());
      for (index_t i = 0; i < head_width_; ++i)
        std::copy_n(head.data() + i * p.columns, p.columns, rows + (i / 2 + i % 2 * (head_width_ / 2)) * p.columns);
    }
  }

 private:
  gguf const& file_;
  index_t head_width_;
};

MQL4GREC_DEFINITION std::unique_ptr<weight_source> open_safetensors(std::filesystem::path const& directory,
                                                                    std::string const& probe,
                                                                    std::vector<std::string> const& prefixes) {
  return std::make_unique<safetensors_source>(directory, probe, prefixes);
}
MQL4GREC_DEFINITION std::unique_ptr<weight_source> open_gguf_llama(gguf const& file, llama_config const& config) {
  return std::make_unique<gguf_llama_source>(file, config);
}

MQL4GREC_DEFINITION bool is_llama(std::filesystem::path const& path) {
  if (path.extension() == ".gguf") return true;
  core::detail::expect_safetensors(path);
  auto const file = path / "config.json";
  auto const type = member<std::string>(read_json(file), "model_type", file);
  expects_file(type == "llama" || type == "bert", file, "key 'model_type' is '", core::detail::printable(type),
               "', expected 'bert' or 'llama'");
  return type == "llama";
}

MQL4GREC_DEFINITION bert_config read_bert_config(std::filesystem::path const& directory) {
  core::detail::expect_safetensors(directory);
  return bert_from_config_json(read_json(directory / "config.json"), directory / "config.json");
}
MQL4GREC_DEFINITION llama_config read_llama_config(std::filesystem::path const& directory) {
  core::detail::expect_safetensors(directory);
  return llama_from_config_json(read_json(directory / "config.json"), directory / "config.json");
}
MQL4GREC_DEFINITION clip_vision_config read_clip_vision_config(std::filesystem::path const& directory) {
  core::detail::expect_safetensors(directory);
  return clip_vision_from_config_json(read_json(directory / "config.json"), directory / "config.json");
}

MQL4GREC_DEFINITION void check_layers(weight_source const& from, index_t layers) {
  expects_file(layers <= from.tensors(), from.path(), "has ", from.tensors(), " tensors, but the configuration has ",
               layers, " layers");
}

}  // namespace mql4grec::embed::detail
