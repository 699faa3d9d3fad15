#pragma once
// The definitions of embed/tokenizer/read_tokenizer.hpp.
#include "mql4grec/core/gguf.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/embed/tokenizer/gguf_tokenizer.hpp"
#include "mql4grec/embed/tokenizer/read_tokenizer.hpp"
#include "mql4grec/embed/tokenizer/tokenizer_json.hpp"

namespace mql4grec::embed {

namespace detail {

/// BERT's options as `tokenizer_config.json` states them.
MQL4GREC_DEFINITION wordpiece_options configured_wordpiece(json const& config, std::filesystem::path const& path) {
  wordpiece_options options;
  options.lower_case = member_or(config, "do_lower_case", true, path);
  options.space_cjk = member_or(config, "tokenize_chinese_chars", true, path);
  if (config.contains("strip_accents") && !config.at("strip_accents").is_null())
    options.strip_accents = member<bool>(config, "strip_accents", path);
  return options;
}

MQL4GREC_DEFINITION any_tokenizer read_tokenizer_directory(std::filesystem::path const& directory) {
  auto const config_path = directory / "tokenizer_config.json";
  auto const config = std::filesystem::exists(config_path) ? read_json(config_path) : json(json::object());
  expects_file(config.is_object(), config_path, "expected an object");
  if (auto const file = directory / "tokenizer.model"; std::filesystem::exists(file)) {
#if MQL4GREC_HAS_SENTENCEPIECE
    return any_tokenizer(read_sentencepiece(file, {.begin = member_or(config, "add_bos_token", true, config_path),
                                                   .end = member_or(config, "add_eos_token", false, config_path)}));
#else
    raise<file_error>(file.string(), ": this build has no SentencePiece");
#endif
  }
  if (auto const file = directory / "tokenizer.json"; std::filesystem::exists(file))
    return std::visit([](auto&& tokenizer) { return any_tokenizer(std::move(tokenizer)); }, read_tokenizer_json(file));
  auto const file = directory / "vocab.txt";
  expects_file(std::filesystem::exists(file), directory, "has no tokenizer.model, tokenizer.json or vocab.txt");
  return any_tokenizer(read_wordpiece_vocabulary(file, detail::configured_wordpiece(config, config_path)));
}

}  // namespace detail

MQL4GREC_DEFINITION any_tokenizer read_tokenizer(std::filesystem::path const& checkpoint) {
  if (std::filesystem::is_directory(checkpoint)) return detail::read_tokenizer_directory(checkpoint);
  return read_gguf_tokenizer(gguf(checkpoint));
}

}  // namespace mql4grec::embed
