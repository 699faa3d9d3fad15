#pragma once
// How many levels of how many codes the sequences of an index file have: what must be known before there is a vocabulary to read them by.
#include <filesystem>
#include <string>
#include <vector>

#include "mql4grec/language/detail/parse.hpp"
#include "mql4grec/language/read_vocabulary.hpp"
#include "mql4grec/language/vocabulary.hpp"

namespace mql4grec {

/// The levels that sequences have, and one more than the largest code of each.
struct index_shape {
  std::vector<index_t> codes;  ///< (levels); none where no item has a sequence
  std::string item;            ///< the first one with a sequence, for errors

  bool operator==(index_shape const&) const = default;
};

namespace detail {

/// The code of a word that has to stand at a level of the modality.
inline index_t code_in(std::filesystem::path const& path, std::string const& item, index_t level, nlohmann::json const& entry, word_family const& family) {
  constexpr index_t most = index_t{1} << 20;  // a damaged number shouldn't ask for all memory
  expects_file(entry.is_string(), path, "item ", item, ", place ", level, ": expected a token like \"<", family.prefix_of(level), "_12>\", found a ",
               entry.type_name());
  auto const& text = entry.get_ref<std::string const&>();
  auto const word = split_word(text);
  expects_file(word && word->prefix == family.prefix_of(level), path, "item ", item, ", place ", level, ": '", text,
               "' does not belong there, expected one like <", family.prefix_of(level), "_0>");
  expects_file(word->number < most, path, "item ", item, ", place ", level, ": '", text, "', expected a code less than ", most);
  return word->number;
}

inline void widen(index_shape& shape, std::filesystem::path const& path, std::string const& item, nlohmann::json const& list, word_family const& family) {
  constexpr index_t most_levels = 27;  // a letter each, and a suffix that tells items apart
  expects_file(list.is_array(), path, "item ", item, ": expected a list of tokens, found a ", list.type_name());
  auto const levels = std::ssize(list);
  expects_file(levels >= 1 && levels <= most_levels, path, "item ", item, " has ", levels, " tokens, expected 1 to ", most_levels);
  if (shape.codes.empty()) shape = {std::vector<index_t>(list.size(), 0), item};
  expects_file(levels == std::ssize(shape.codes), path, "item ", item, " has ", levels, " tokens, expected ", shape.codes.size(), ", as many as item ",
               shape.item, " has");
  for (std::size_t l = 0; l < list.size(); ++l)
    shape.codes[l] = std::max(shape.codes[l], code_in(path, item, static_cast<index_t>(l), list[l], family) + 1);
}

}  // namespace detail

/// Looks through `D.index_*.json` of the modality whose words `family` begins; how many levels and codes that has itself doesn't matter. Throws
/// file_error for an item whose tokens are no sequence of the modality's words, or more or fewer than another item's.
inline index_shape read_index_shape(std::filesystem::path const& path, word_family const& family) {
  auto const content = detail::parse_object(path, "an object {\"item\": [token, …], …}");
  index_shape shape;
  for (auto const& [item, list] : content.items()) detail::widen(shape, path, item, list, family);
  return shape;
}

}  // namespace mql4grec
