#pragma once
// The definitions of embed/tokenizer/sentencepiece.hpp.
#if !__has_include(<sentencepiece_processor.h>)
#error "SentencePiece models need its library: install it (Debian: libsentencepiece-dev)"
#endif
#include <sentencepiece_processor.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <tuple>
#include <utility>

#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/embed/tokenizer/detail/sentencepiece_model.hpp"
#include "mql4grec/embed/tokenizer/detail/unicode.hpp"
#include "mql4grec/embed/tokenizer/sentencepiece.hpp"

namespace mql4grec::embed {

/// The library's object.
struct sentencepiece::library {
  ::sentencepiece::SentencePieceProcessor processor;
};

MQL4GREC_DEFINITION sentencepiece::sentencepiece(std::string_view model, std::filesystem::path const& path,
                                                 sentencepiece_options options) {
  detail::check_sentencepiece_model(model, path);
  auto loaded = std::make_shared<library>();
  auto const problem = [&]() -> std::string {
    try {
      auto const status = loaded->processor.LoadFromSerializedProto(model);
      return status.ok() ? "" : status.ToString();
    } catch (std::exception const& e) {  // from the library's trie
      return e.what();
    }
  }();
  expects_file(problem.empty(), path, "not a usable SentencePiece model: ", core::detail::printable(problem));
  auto const add = [](bool wanted, int id, std::vector<token_t>& to) {
    if (wanted && id >= 0) to.push_back(token_t{id});
  };
  add(options.begin, loaded->processor.bos_id(), frame_.prefix);
  add(options.end, loaded->processor.eos_id(), frame_.suffix);
  library_ = std::move(loaded);
}

MQL4GREC_DEFINITION std::vector<token_t> sentencepiece::encode(std::string_view text,
                                                               encode_options const& options) const {
  std::string mended;  // the library has another rule for what isn't UTF-8
  if (!detail::is_utf8(text)) text = mended = detail::encode_utf8(detail::decode_utf8(text));
  std::vector<int> ids;
  auto const status = library_->processor.Encode(text, &ids);
  expects(status.ok(), "SentencePiece: ", core::detail::printable(status.ToString()));
  std::vector<token_t> tokens(ids.size());
  std::ranges::transform(ids, tokens.begin(), [](int id) { return token_t{id}; });
  return detail::framed(std::move(tokens), frame_, options);
}

MQL4GREC_DEFINITION index_t sentencepiece::vocab_size() const { return library_->processor.GetPieceSize(); }

MQL4GREC_DEFINITION sentencepiece read_sentencepiece(std::filesystem::path const& file, sentencepiece_options options) {
  return {read_file(file), file, options};
}

MQL4GREC_DEFINITION sentencepiece make_sentencepiece(gguf_sentencepiece_vocabulary const& vocabulary,
                                                     std::filesystem::path const& path) {
  auto const size = vocabulary.tokens.size();
  expects_file(vocabulary.scores.size() == size && vocabulary.types.size() == size, path, "tokenizer.ggml has ", size,
               " tokens, ", vocabulary.scores.size(), " scores and ", vocabulary.types.size(), " types");
  for (auto const& [id, key] : {std::pair{vocabulary.bos, "bos"}, {vocabulary.eos, "eos"}})
    expects_file(id >= 0 && std::cmp_less(id, size), path, "tokenizer.ggml.", key, "_token_id is ", id,
                 ", but there are ", size, " tokens");
  for (auto const& [wanted, id, key] :
       {std::tuple{vocabulary.options.begin, vocabulary.bos, "bos"}, {vocabulary.options.end, vocabulary.eos, "eos"}})
    expects_file(!wanted || vocabulary.types[static_cast<std::size_t>(id)] == 3, path, "tokenizer.ggml.", key,
                 "_token_id is ", id, ", which isn't a control token (3)");
  auto const unknown = std::find(vocabulary.types.begin(), vocabulary.types.end(), 2);
  expects_file(unknown != vocabulary.types.end(), path, "tokenizer.ggml.token_type has no unknown token (2)");
  std::vector<detail::sentencepiece_piece> pieces;
  for (std::size_t i = 0; i < size; ++i) {
    auto const type = vocabulary.types[i];
    expects_file(type >= 1 && type <= 6, path, "tokenizer.ggml.token_type: token ", i, " has the type ", type);
    pieces.push_back({vocabulary.tokens[i], vocabulary.scores[i], type});
  }
  bool const bytes = std::count(vocabulary.types.begin(), vocabulary.types.end(), 6) > 0;
  auto const model =
      detail::serialize_sentencepiece_model(pieces, {.bos = vocabulary.bos,
                                                     .eos = vocabulary.eos,
                                                     .unknown = static_cast<int>(unknown - vocabulary.types.begin()),
                                                     .byte_fallback = bytes,
                                                     .space_prefix = vocabulary.space_prefix});
  return {model, path, vocabulary.options};
}

}  // namespace mql4grec::embed
