#pragma once
// A token from a file is believed only if it is a word of the vocabulary and stands at its own level of the right
// modality: a text index read as the image's would otherwise train without complaint.
#include <filesystem>
#include <string>
#include <vector>

#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/language/detail/parse.hpp"
#include "mql4grec/language/token_table.hpp"
#include "mql4grec/language/vocabulary.hpp"

namespace mql4grec {

namespace detail {

/// "<a_0> to <a_255>"
inline std::string words_of_level(vocabulary const& words, modality kind, index_t level) {
  auto const last = code_t(static_cast<std::int32_t>(words.codes(kind, level) - 1));
  return words.text(words.token(kind, level, code_t{0})) + " to " + words.text(words.token(kind, level, last));
}

/// One item's tokens from its JSON list.
inline void read_sequence(std::filesystem::path const& path, std::string const& item, nlohmann::json const& list,
                          vocabulary const& words, modality kind, std::vector<token_t>& sequence) {
  auto const levels = words.levels(kind);
  expects_file(list.is_array(), path, "item ", item, ": expected a list of ", levels, " tokens, found a ",
               list.type_name());
  expects_file(std::ssize(list) == levels, path, "item ", item, " has ", list.size(), " tokens, expected ", levels);
  sequence.clear();
  for (auto const& entry : list) {
    auto const level = std::ssize(sequence);
    expects_file(entry.is_string(), path, "item ", item, ", place ", level,
                 ": expected a token like \"<a_12>\", found a ", entry.type_name());
    auto const& text = entry.get_ref<std::string const&>();
    auto const token = words.find(text);
    auto const place = token ? words.place(*token) : std::nullopt;
    if (!place || place->kind != kind || place->level != level)
      raise<file_error>(path.string(), ": item ", item, ", place ", level, ": '", text, "' ", token ? "does not belong there" : "is not in the vocabulary",
                        ", expected ", words_of_level(words, kind, level));
    sequence.push_back(*token);
  }
}

}  // namespace detail

/// Reads `D.index_*.json`, `{"item": ["<a_12>", "<b_7>", …]}`. Items the file is silent about have no sequence; two
/// items may share one (duplicate_items counts them). Throws file_error.
inline token_table read_token_table(std::filesystem::path const& path, vocabulary const& words, modality kind,
                                    index_t item_count) {
  auto const content = detail::parse_object(path, "an object {\"item\": [token, …], …}");
  token_table table(kind, item_count, words.levels(kind));
  std::vector<token_t> sequence;
  for (auto const& [key, list] : content.items()) {
    auto const item = detail::parse_number(key);
    expects_file(item.has_value(), path, "key '", key, "': expected an item number");
    expects_file(*item < item_count, path, "item ", key, " is beyond the ", item_count, " items of the catalogue");
    expects_file(!table.has(item_id(*item)), path, "item ", *item, " appears twice");
    detail::read_sequence(path, key, list, words, kind, sequence);
    table.set(item_id(*item), sequence);
  }
  return table;
}

/// Writes what read_token_table reads, one item a line; items without a sequence are left out.
inline void write_token_table(std::filesystem::path const& path, token_table const& table, vocabulary const& words) {
  std::string text = "{";
  char const* separator = "\n";
  for (index_t i = 0; i < table.items(); ++i) {
    if (!table.has(item_id(i))) continue;
    json list = json::array();
    for (auto const token : table.of(item_id(i))) list.push_back(words.text(token));
    text += separator + ("\"" + std::to_string(i) + "\": ") + list.dump();
    separator = ",\n";
  }
  write_file(path, text + "\n}\n");
}

}  // namespace mql4grec
