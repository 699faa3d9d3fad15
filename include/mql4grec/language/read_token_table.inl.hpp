#pragma once
// The definitions of language/read_token_table.hpp.
#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mql4grec/core/detail/plain_json.hpp"
#include "mql4grec/core/detail/whole_number.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/language/detail/parse.hpp"
#include "mql4grec/language/read_token_table.hpp"

namespace mql4grec::language {

namespace detail {

/// The first and the last token of a level, for error messages: "<a_0> to <a_255>".
MQL4GREC_DEFINITION std::string words_of_level(vocabulary const& vocab, modality kind, index_t level) {
  return vocab.word(kind, level, code_t{0}) + " to " + vocab.word(kind, level, code_t(vocab.codes(kind, level) - 1));
}

/// Reads the tokens of one item.
MQL4GREC_DEFINITION void read_sequence(index_entry const& from, vocabulary const& vocab, modality kind,
                                       std::vector<token_t>& sequence) {
  auto const& [path, item, list] = from;
  auto const levels = vocab.levels(kind);
  expects_file(list.is_array(), path, "item ", item, ": expected a list of ", levels, " tokens, found a ",
               list.type_name());
  expects_file(std::ssize(list) == levels, path, "item ", item, " has ", list.size(), " tokens, expected ", levels);
  sequence.clear();
  for (auto const& entry : list) {
    auto const level = std::ssize(sequence);
    expects_file(entry.is_string(), path, "item ", item, ", place ", level,
                 ": expected a token like \"<a_12>\", found a ", entry.type_name());
    auto const& text = entry.get_ref<std::string const&>();
    auto const token = vocab.find(text);
    auto const place = token ? vocab.place(*token) : std::nullopt;
    if (!place || place->kind != kind || place->level != level)
      raise<file_error>(path.string(), ": item ", item, ", place ", level, ": '", core::detail::printable(text), "' ",
                        token ? "does not belong there" : "is not in the vocabulary", ", expected ",
                        words_of_level(vocab, kind, level));
    sequence.push_back(*token);
  }
}

/// The table in a text that plain_json can read, if read_token_table() accepts it.
MQL4GREC_DEFINITION std::optional<token_table> plain_token_table(std::string_view text, vocabulary const& vocab,
                                                                 modality kind, std::optional<index_t> item_count) {
  auto const levels = vocab.levels(kind);
  std::vector<std::pair<index_t, index_t>> items;  // (item number, where its tokens begin)
  std::vector<token_t> tokens;
  core::detail::plain_json from(text);
  auto const token = [&](index_t level) {
    auto const word = from.string();
    auto const found = word ? vocab.find(*word) : std::nullopt;
    auto const place = found ? vocab.place(*found) : std::nullopt;
    if (!place || place->kind != kind || place->level != level) return false;
    tokens.push_back(*found);
    return true;
  };
  bool const read = from.object([&](std::string_view key) {
    auto const item = core::detail::whole_number(key);
    auto const begin = std::ssize(tokens);
    if (!item) return false;
    items.emplace_back(*item, begin);
    return from.list([&] { return token(std::ssize(tokens) - begin); }) && std::ssize(tokens) == begin + levels;
  });
  std::ranges::sort(items);
  index_t const least = items.empty() ? 0 : items.back().first + 1;
  auto const same_item = [](auto const& a, auto const& b) { return a.first == b.first; };
  if (!read || least > item_count.value_or(least) || std::ranges::adjacent_find(items, same_item) != items.end())
    return std::nullopt;
  token_table table(kind, item_count.value_or(least), levels);
  for (auto const& [item, begin] : items)
    table.set(item_id(item), std::span<token_t const>(tokens).subspan(to_size(begin), to_size(levels)));
  return table;
}

/// The table in any valid text.
MQL4GREC_DEFINITION token_table parse_token_table(std::string text, std::filesystem::path const& path,
                                                  vocabulary const& vocab, modality kind,
                                                  std::optional<index_t> item_count) {
  auto const content = parse_object(std::move(text), path, "an object {\"item\": [token, …], …}");
  std::vector<std::pair<index_t, std::string const*>> items;  // (item number, key in the file)
  for (auto const& [key, list] : content) {
    auto const item = core::detail::whole_number(key);
    expects_file(item.has_value(), path, "key '", core::detail::printable(key), "': expected an item number from 0 to ",
                 item_number_limit - 1);
    items.emplace_back(*item, &key);
  }
  std::ranges::sort(items);
  index_t const least = items.empty() ? 0 : items.back().first + 1;
  expects_file(least <= item_count.value_or(least), path, "item ", least - 1, " is beyond the ", item_count.value_or(0),
               " items of the catalog");
  token_table table(kind, item_count.value_or(least), vocab.levels(kind));
  std::vector<token_t> sequence;
  for (auto const& [item, key] : items) {
    expects_file(!table.has(item_id(item)), path, "item ", item, " appears twice");
    read_sequence({path, *key, content.at(*key)}, vocab, kind, sequence);
    table.set(item_id(item), sequence);
  }
  return table;
}

}  // namespace detail

MQL4GREC_DEFINITION token_table read_token_table(std::filesystem::path const& path, vocabulary const& vocab,
                                                 modality kind, std::optional<index_t> item_count) {
  auto text = read_file(path);
  if (auto plain = detail::plain_token_table(text, vocab, kind, item_count)) return *std::move(plain);
  return detail::parse_token_table(std::move(text), path, vocab, kind, item_count);
}

MQL4GREC_DEFINITION void write_token_table(std::filesystem::path const& path, token_table const& table,
                                           vocabulary const& vocab) {
  std::string text = "{";
  char const* separator = "\n";
  for (auto const item : table.present()) {
    json list = json::array();
    for (auto const token : table.of(item)) list.push_back(vocab.text(token));
    text += separator + ("\"" + std::to_string(index(item)) + "\": ") + list.dump();
    separator = ",\n";
  }
  write_file(path, text + "\n}\n");
}

}  // namespace mql4grec::language
