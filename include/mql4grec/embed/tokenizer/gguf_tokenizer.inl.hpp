#pragma once
// The definitions of embed/tokenizer/gguf_tokenizer.hpp.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mql4grec/embed/tokenizer/gguf_tokenizer.hpp"

namespace mql4grec::embed {

namespace detail {

/// The reader of one file: every function throws file_error naming the key.
class gguf_tokenizer_reader {
 public:
  explicit gguf_tokenizer_reader(gguf const& file) : file_(file) {}

  any_tokenizer read() const {
    auto const model = value<std::string>("model");
    if (model == "gpt2") return any_tokenizer(read_bpe());
    expects_file(model == "llama", file_.path(), "key 'tokenizer.ggml.model': '", core::detail::printable(model),
                 "', expected gpt2 or llama");
#if MQL4GREC_HAS_SENTENCEPIECE
    return any_tokenizer(read_sentencepiece_vocabulary());
#else
    raise<file_error>(file_.path().string(),
                      ": key 'tokenizer.ggml.model': 'llama', but this build has no SentencePiece");
#endif
  }

 private:
  static std::string key(std::string_view name) { return "tokenizer.ggml." + std::string(name); }
  template <class T>
  T value(std::string_view name) const {
    return file_.value<T>(key(name));
  }
  template <class T>
  T value_or(std::string_view name, T otherwise) const {
    return file_.value_or<T>(key(name), std::move(otherwise));
  }

  /// The types of `count` tokens: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 a byte.
  std::vector<std::int32_t> read_types(std::size_t count) const {
    auto const types = value<std::vector<index_t>>("token_type");
    expects_file(types.size() == count, file_.path(), "key '", key("token_type"), "': ", types.size(),
                 " types, but there are ", count, " tokens");
    std::vector<std::int32_t> narrow;
    narrow.reserve(count);
    for (auto const type : types) {
      expects_file(type >= 1 && type <= 6, file_.path(), "key '", key("token_type"), "': token ", narrow.size(),
                   " has the type ", type, ", expected 1 to 6");
      narrow.push_back(static_cast<std::int32_t>(type));
    }
    return narrow;
  }

  /// The id of a special token of a vocabulary of `count` tokens.
  std::int32_t read_id(std::string_view name, std::size_t count, std::optional<index_t> otherwise = {}) const {
    auto const id = otherwise ? value_or<index_t>(name, *otherwise) : value<index_t>(name);
    expects_file(id >= 0 && std::cmp_less(id, count), file_.path(), "key '", key(name), "': ", id, ", but there are ",
                 count, " tokens");
    return static_cast<std::int32_t>(id);
  }

  byte_level_bpe read_bpe() const {
    gguf_bpe_vocabulary vocabulary{.tokens = value<std::vector<std::string>>("tokens"),
                                   .merges = value<std::vector<std::string>>("merges"),
                                   .pre = value<std::string>("pre")};
    auto const count = vocabulary.tokens.size();
    if (file_.has(key("token_type"))) {
      auto const types = read_types(count);
      auto const found = std::ranges::find(types, 4);
      expects_file(found == types.end(), file_.path(), "key '", key("token_type"), "': token ", found - types.begin(),
                   " is user-defined (4): such tokens aren't supported");
    }
    bool const llama3 = pre_tokenizer_of_gguf(vocabulary.pre) == pre_tokenizer::llama3;
    if (value_or("add_bos_token", llama3)) vocabulary.bos = read_id("bos_token_id", count);
    if (value_or("add_eos_token", false)) vocabulary.eos = read_id("eos_token_id", count);
    vocabulary.space_prefix = value_or("add_space_prefix", false);
    try {
      return make_byte_level_bpe(vocabulary);
    } catch (error const& e) {
      raise<file_error>(file_.path().string(), ": ", e.what());
    }
  }

#if MQL4GREC_HAS_SENTENCEPIECE
  sentencepiece read_sentencepiece_vocabulary() const {
    gguf_sentencepiece_vocabulary vocabulary{.tokens = value<std::vector<std::string>>("tokens")};
    auto const count = vocabulary.tokens.size();
    for (double const score : value<std::vector<double>>("scores"))
      vocabulary.scores.push_back(static_cast<float>(score));
    vocabulary.types = read_types(count);
    vocabulary.bos = read_id("bos_token_id", count, 1);
    vocabulary.eos = read_id("eos_token_id", count, 2);
    vocabulary.space_prefix = value_or("add_space_prefix", true);
    vocabulary.options = {.begin = value_or("add_bos_token", true), .end = value_or("add_eos_token", false)};
    return make_sentencepiece(vocabulary, file_.path());
  }
#endif

  gguf const& file_;
};

}  // namespace detail

MQL4GREC_DEFINITION any_tokenizer read_gguf_tokenizer(gguf const& file) {
  return detail::gguf_tokenizer_reader(file).read();
}

}  // namespace mql4grec::embed
