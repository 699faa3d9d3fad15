#pragma once
// The definitions of embed/tokenizer/wordpiece.hpp.
#include <algorithm>
#include <limits>
#include <utility>

#include "mql4grec/core/files.hpp"
#include "mql4grec/embed/tokenizer/detail/unicode.hpp"
#include "mql4grec/embed/tokenizer/wordpiece.hpp"

namespace mql4grec::embed {

namespace detail {

MQL4GREC_DEFINITION bool is_cjk(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0x2F800 && c <= 0x2FA1F);
}

/// A text without control characters and with one kind of space.
MQL4GREC_DEFINITION std::u32string cleaned(std::u32string_view text) {
  std::u32string result;
  result.reserve(text.size());
  for (char32_t const c : text) {
    bool const white = c == '\t' || c == '\n' || c == '\r';
    if (!white && (c == 0xFFFD || is_control(c))) continue;
    result.push_back(is_space(c) ? U' ' : c);
  }
  return result;
}

MQL4GREC_DEFINITION std::u32string spaced_cjk(std::u32string_view text) {
  std::u32string result;
  result.reserve(text.size());
  for (char32_t const c : text) {
    if (is_cjk(c))
      result.append({U' ', c, U' '});
    else
      result.push_back(c);
  }
  return result;
}

/// Calls visit(word) for each run between white space, with each punctuation mark apart, while it returns true.
template <class Visit>
void for_each_word(std::u32string_view text, Visit visit) {
  auto const ends_word = [](char32_t c) { return is_space(c) || is_punctuation(c); };
  while (!text.empty()) {
    auto length = static_cast<std::size_t>(std::find_if(text.begin(), text.end(), ends_word) - text.begin());
    if (length == 0) length = 1;
    auto const word = text.substr(0, length);
    if (!is_space(word[0]) && !visit(word)) return;
    text.remove_prefix(length);
  }
}

}  // namespace detail

MQL4GREC_DEFINITION wordpiece::wordpiece(detail::token_map vocab, detail::token_frame frame, wordpiece_options options)
    : frame_(std::move(frame)), options_(std::move(options)) {
  auto const unknown = vocab.find(options_.unknown);
  expects(unknown != vocab.end(), "the unknown token '", options_.unknown, "' isn't in the vocabulary");
  expects(options_.max_word >= 0, "max_word is ", options_.max_word, ", expected 0 or more");
  unknown_ = unknown->second;
  for (auto const& [token, id] : vocab) {
    vocab_size_ = std::max<index_t>(vocab_size_, index(id) + 1);
    longest_ = std::max(longest_, token.size());
    if (token.starts_with(options_.continuation) && token.size() > options_.continuation.size())
      next_.emplace(token.substr(options_.continuation.size()), id);
  }
  for (auto const* ids : {&frame_.prefix, &frame_.suffix})
    for (auto const id : *ids) vocab_size_ = std::max<index_t>(vocab_size_, index(id) + 1);
  first_ = std::move(vocab);
}

MQL4GREC_DEFINITION std::u32string wordpiece::normalized(std::string_view bytes) const {
  auto text = detail::decode_utf8(bytes);
  if (options_.clean) text = detail::cleaned(text);
  if (options_.space_cjk) text = detail::spaced_cjk(text);
  if (options_.strip_accents.value_or(options_.lower_case)) {
    text = detail::decomposed(text);
    std::erase_if(text, detail::is_nonspacing_mark);
  }
  if (!options_.lower_case) return text;
  std::u32string lower;
  lower.reserve(text.size());
  for (char32_t const c : text) detail::append_lower(lower, c);
  return lower;
}

/// Takes the longest piece from the left, again and again; where there is none the whole word is unknown.
MQL4GREC_DEFINITION void wordpiece::append_word(std::u32string_view word, std::vector<token_t>& ids) const {
  if (std::cmp_greater(word.size(), options_.max_word)) {
    ids.push_back(unknown_);
    return;
  }
  auto const before = ids.size();
  auto const bytes = detail::encode_utf8(word);
  std::string_view rest = bytes;
  while (!rest.empty()) {
    auto const& pieces = rest.size() == bytes.size() ? first_ : next_;
    auto length = std::min(rest.size(), longest_);
    auto found = pieces.end();
    for (; length > 0; --length) {
      bool const whole = length == rest.size() || (static_cast<unsigned char>(rest[length]) & 0xC0) != 0x80;
      if (whole && (found = pieces.find(rest.substr(0, length))) != pieces.end()) break;
    }
    if (length == 0) {
      ids.resize(before);
      ids.push_back(unknown_);
      return;
    }
    ids.push_back(found->second);
    rest.remove_prefix(length);
  }
}

MQL4GREC_DEFINITION std::vector<token_t> wordpiece::encode(std::string_view text, encode_options const& options) const {
  auto const limit = detail::text_limit(frame_, options);
  std::vector<token_t> ids;
  detail::for_each_word(normalized(text), [&](std::u32string_view word) {
    append_word(word, ids);
    return ids.size() < limit;
  });
  return detail::framed(std::move(ids), frame_, options);
}

MQL4GREC_DEFINITION wordpiece read_wordpiece_vocabulary(std::filesystem::path const& file, wordpiece_options options) {
  return parse_wordpiece_vocabulary(read_text(file), file, std::move(options));
}

MQL4GREC_DEFINITION wordpiece parse_wordpiece_vocabulary(std::string_view content, std::filesystem::path const& file,
                                                         wordpiece_options options) {
  expects_file(!content.empty(), file, "is empty, expected a token a line");
  expects_file(content.size() < std::numeric_limits<std::int32_t>::max(), file, "has ", content.size(), " bytes");
  detail::token_map vocab;
  std::int32_t number = 0;
  for (std::string_view rest = content; !rest.empty(); ++number) {
    auto const end = rest.find('\n');
    auto line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    expects_file(detail::is_utf8(line), file, "line ", number + 1, ": not valid UTF-8");
    if (line.empty()) continue;  // it counts, and matches nothing
    auto const [other, fresh] = vocab.emplace(line, token_t{number});
    expects_file(fresh, file, "line ", number + 1, ": the token of line ", index(other->second) + 1, " again");
  }
  detail::token_frame frame;
  for (auto [token, ids] : {std::pair{"[CLS]", &frame.prefix}, {"[SEP]", &frame.suffix}}) {
    auto const found = vocab.find(std::string_view(token));
    expects_file(found != vocab.end(), file, "has no token '", token, "'");
    ids->push_back(found->second);
  }
  expects_file(vocab.contains(options.unknown), file, "has no token '", options.unknown, "'");
  return {std::move(vocab), std::move(frame), std::move(options)};
}

}  // namespace mql4grec::embed
