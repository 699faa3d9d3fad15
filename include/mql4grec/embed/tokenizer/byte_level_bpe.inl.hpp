#pragma once
// The definitions of embed/tokenizer/byte_level_bpe.hpp.
#include <algorithm>
#include <limits>
#include <queue>
#include <unordered_map>

#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/embed/tokenizer/byte_level_bpe.hpp"
#include "mql4grec/embed/tokenizer/detail/unicode.hpp"

namespace mql4grec::embed {

namespace detail {

/// GPT-2's alphabet: the printable characters of Latin-1 stand for themselves, the other 68 bytes for U+0100 …
MQL4GREC_DEFINITION std::array<char32_t, 256> byte_alphabet() {
  std::array<char32_t, 256> alphabet{};
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    bool const itself = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    alphabet[byte] = itself ? byte : next++;
  }
  return alphabet;
}

/// The id of a byte without a token.
inline constexpr token_t no_token{-1};

/// Bytes spelled in the alphabet.
MQL4GREC_DEFINITION std::string spelled(std::string_view bytes) {
  static auto const alphabet = byte_alphabet();
  std::string text;
  for (char const byte : bytes) append_utf8(text, alphabet[static_cast<unsigned char>(byte)]);
  return text;
}

/// The bytes that a token spells, or nothing when it has characters outside the alphabet, as special tokens may have.
MQL4GREC_DEFINITION std::optional<std::string> unspelled(std::string_view token) {
  static auto const byte_of = [] {
    std::unordered_map<char32_t, char> bytes;
    auto const alphabet = byte_alphabet();
    for (std::size_t byte = 0; byte < alphabet.size(); ++byte) bytes[alphabet[byte]] = static_cast<char>(byte);
    return bytes;
  }();
  std::string bytes;
  for (char32_t const c : decode_utf8(token)) {
    auto const found = byte_of.find(c);
    if (found == byte_of.end()) return std::nullopt;
    bytes.push_back(found->second);
  }
  return bytes;
}

MQL4GREC_DEFINITION std::pair<std::string, std::string> split_merge(std::string_view merge) {
  auto const space = merge.find(' ');
  bool const two = space != std::string_view::npos && space > 0 && space + 1 < merge.size() &&
                   merge.find(' ', space + 1) == std::string_view::npos;
  expects(two, "merge '", core::detail::printable(std::string(merge)), "': expected two tokens with a space between");
  return {std::string(merge.substr(0, space)), std::string(merge.substr(space + 1))};
}

}  // namespace detail

/// The symbols of one part, a doubly linked list in an array, and the merges that may apply to them.
struct byte_level_bpe::scratch {
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  struct symbol {
    token_t id;
    std::size_t before;
    std::size_t after;
    bool merged = false;  // into the one before
  };
  struct candidate {
    std::uint32_t rank;
    std::size_t at;  // of the left symbol
    token_t result;
    bool operator>(candidate const& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
  };

  std::vector<symbol> symbols;
  std::priority_queue<candidate, std::vector<candidate>, std::greater<>> candidates;
};

MQL4GREC_DEFINITION byte_level_bpe::byte_level_bpe(bpe_model model) {
  auto const id_of = [&](std::string const& token, std::string_view what) {
    auto const found = model.vocab.find(token);
    expects(found != model.vocab.end(), what, " '", core::detail::printable(token), "' has no token in the vocabulary");
    return found->second;
  };
  expects(model.merges.size() < std::numeric_limits<std::uint32_t>::max(), "there are ", model.merges.size(),
          " merges");
  for (auto const& [token, id] : model.vocab) {
    expects(index(id) >= 0, "token '", core::detail::printable(token), "' has the id ", index(id));
    vocab_size_ = std::max<index_t>(vocab_size_, index(id) + 1);
  }
  for (auto const* ids : {&model.frame.prefix, &model.frame.suffix})
    for (auto const id : *ids) vocab_size_ = std::max<index_t>(vocab_size_, index(id) + 1);

  for (std::size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    char const value = static_cast<char>(byte);
    auto const found = model.vocab.find(detail::spelled({&value, 1}));
    byte_ids_[byte] = found == model.vocab.end() ? detail::no_token : found->second;
  }
  merges_ = detail::merge_table(model.merges.size());
  for (std::uint32_t rank = 0; rank < model.merges.size(); ++rank) {
    auto const& [left, right] = model.merges[rank];
    auto const first = id_of(left, "merge: the part"), second = id_of(right, "merge: the part");
    merges_.set(first, second, {.rank = rank, .result = id_of(left + right, "merge: the result")});
  }
  auto const vocab = std::exchange(model.vocab, {});
  model.merges.clear();
  settings_ = std::move(model);
  find_whole_parts(vocab);
}

/// Most words of a text are tokens: they are looked up instead of merged. Without ignore_merges that is valid for the
/// tokens that their own bytes are merged to.
MQL4GREC_DEFINITION void byte_level_bpe::find_whole_parts(detail::token_map const& vocab) {
  scratch work;
  std::vector<token_t> merged;
  for (auto const& [token, id] : vocab) {
    auto const bytes = detail::unspelled(token);
    if (!bytes) continue;
    merged.clear();
    if (!settings_.ignore_merges) append_merged(*bytes, work, merged);
    if (settings_.ignore_merges || merged == std::vector{id}) whole_parts_.emplace(*bytes, id);
  }
}

/// Applies the first merge of the list that applies anywhere, at its leftmost place, until none does.
MQL4GREC_DEFINITION void byte_level_bpe::apply_merges(scratch& work) const {
  auto& symbols = work.symbols;
  auto const propose = [&](std::size_t at) {
    if (at == scratch::none || symbols[at].after == scratch::none) return;
    if (auto const* found = merges_.find(symbols[at].id, symbols[symbols[at].after].id))
      work.candidates.push({found->rank, at, found->result});
  };
  for (std::size_t i = 0; i < symbols.size(); ++i) propose(i);
  while (!work.candidates.empty()) {
    auto const best = work.candidates.top();
    work.candidates.pop();
    auto& left = symbols[best.at];
    if (left.merged || left.after == scratch::none) continue;
    auto& right = symbols[left.after];
    auto const* current = merges_.find(left.id, right.id);
    if (current == nullptr || current->result != best.result) continue;  // one of the two has changed since
    left.id = best.result;
    left.after = right.after;
    right.merged = true;
    if (left.after != scratch::none) symbols[left.after].before = best.at;
    propose(left.before);
    propose(best.at);
  }
}

MQL4GREC_DEFINITION void byte_level_bpe::append_part(std::string_view bytes, scratch& work,
                                                     std::vector<token_t>& ids) const {
  if (auto const whole = whole_parts_.find(bytes); whole != whole_parts_.end())
    ids.push_back(whole->second);
  else
    append_merged(bytes, work, ids);
}

MQL4GREC_DEFINITION void byte_level_bpe::append_merged(std::string_view bytes, scratch& work,
                                                       std::vector<token_t>& ids) const {
  auto& symbols = work.symbols;
  symbols.clear();
  bool after_unknown = false;
  for (char const byte : bytes) {
    auto id = byte_ids_[static_cast<unsigned char>(byte)];
    bool const unknown = id == detail::no_token;
    if (unknown && (!settings_.unknown || (after_unknown && settings_.fuse_unknown))) continue;
    if (unknown) id = *settings_.unknown;
    after_unknown = unknown;
    symbols.push_back({id, symbols.size() - 1, symbols.size() + 1});
  }
  if (symbols.empty()) return;
  symbols.front().before = symbols.back().after = scratch::none;
  apply_merges(work);
  for (std::size_t i = 0; i != scratch::none; i = symbols[i].after) ids.push_back(symbols[i].id);
}

MQL4GREC_DEFINITION std::vector<token_t> byte_level_bpe::encode(std::string_view text,
                                                                encode_options const& options) const {
  auto const limit = detail::text_limit(settings_.frame, options);
  auto points = detail::decode_utf8(text);
  if (settings_.normalizer == bpe_normalizer::nfc) points = detail::composed(points);
  if (settings_.prefix_space && !points.empty() && points.front() != ' ') points.insert(points.begin(), U' ');
  std::vector<token_t> ids;
  scratch work;
  for (auto const [begin, end] : split(settings_.rule, points)) {
    if (ids.size() >= limit) break;
    append_part(detail::encode_utf8(std::u32string_view(points).substr(begin, end - begin)), work, ids);
  }
  return detail::framed(std::move(ids), settings_.frame, options);
}

MQL4GREC_DEFINITION byte_level_bpe make_byte_level_bpe(gguf_bpe_vocabulary const& vocabulary) {
  bpe_model model;
  auto const size = std::ssize(vocabulary.tokens);
  expects(size > 0 && size < std::numeric_limits<std::int32_t>::max(), "tokenizer.ggml.tokens has ", size, " tokens");
  for (auto const& token : vocabulary.tokens) {
    token_t const id{static_cast<std::int32_t>(&token - vocabulary.tokens.data())};
    auto const [other, fresh] = model.vocab.emplace(token, id);
    expects(fresh, "tokenizer.ggml.tokens: token ", index(id), " is token ", index(other->second), " again");
  }
  for (auto const& merge : vocabulary.merges) model.merges.push_back(detail::split_merge(merge));
  auto const rule = pre_tokenizer_of_gguf(vocabulary.pre);
  expects(rule.has_value(), "tokenizer.ggml.pre is '", core::detail::printable(vocabulary.pre),
          "', expected gpt-2, smollm, llama-bpe or qwen2");
  model.rule = *rule;
  model.normalizer = *rule == pre_tokenizer::qwen2 ? bpe_normalizer::nfc : bpe_normalizer::none;
  model.ignore_merges = *rule == pre_tokenizer::llama3;
  model.prefix_space = vocabulary.space_prefix;
  auto const add = [&](std::optional<std::int32_t> id, char const* key, std::vector<token_t>& to) {
    if (!id) return;
    expects(*id >= 0 && *id < size, key, " is ", *id, ", but there are ", size, " tokens");
    to.push_back(token_t{*id});
  };
  add(vocabulary.bos, "tokenizer.ggml.bos_token_id", model.frame.prefix);
  add(vocabulary.eos, "tokenizer.ggml.eos_token_id", model.frame.suffix);
  return byte_level_bpe(std::move(model));
}

}  // namespace mql4grec::embed
