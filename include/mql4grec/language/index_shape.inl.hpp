#pragma once
// The definitions of language/index_shape.hpp.
#include <algorithm>
#include <numeric>

#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/language/detail/parse.hpp"
#include "mql4grec/language/index_shape.hpp"
#include "mql4grec/language/read_vocabulary.hpp"

namespace mql4grec::language {

namespace detail {

/// The code of the token at a level, which must belong to that level of the modality.
MQL4GREC_DEFINITION index_t code_of(index_entry const& entry, index_t level, modality_tokens const& family) {
  auto const& [path, item, tokens] = entry;
  json const& token = tokens[to_size(level)];
  expects_file(token.is_string(), path, "item ", item, ", place ", level, ": expected a token like \"<",
               family.prefix_of(level), "_12>\", found a ", token.type_name());
  auto const& text = token.get_ref<std::string const&>();
  auto const word = split_word(text);
  auto const refuse = [&](auto const&... what) {
    raise<file_error>(entry.path.string(), ": item ", entry.item, ", place ", level, ": '",
                      core::detail::printable(text), what...);
  };
  if (!word || word->prefix != family.prefix_of(level))
    refuse("' does not belong there, expected one like <", family.prefix_of(level), "_0>");
  if (word->number >= code_limit) refuse("', expected a code less than ", code_limit);
  return word->number;
}

/// Extends the shape to the sequence of one more item.
MQL4GREC_DEFINITION void widen(index_shape& shape, index_entry const& entry, modality_tokens const& family) {
  auto const& [path, item, list] = entry;
  constexpr index_t most_levels = 27;  // one letter per level, and a disambiguating suffix
  expects_file(list.is_array(), path, "item ", item, ": expected a list of tokens, found a ", list.type_name());
  auto const levels = std::ssize(list);
  expects_file(levels >= 1 && levels <= most_levels, path, "item ", item, " has ", levels, " tokens, expected 1 to ",
               most_levels);
  if (shape.codes.empty()) shape = {std::vector<index_t>(list.size(), 0), item};
  expects_file(levels == std::ssize(shape.codes), path, "item ", item, " has ", levels, " tokens, expected ",
               shape.codes.size(), ", as many as item ", shape.item, " has");
  for (std::size_t l = 0; l < list.size(); ++l)
    shape.codes[l] = std::max(shape.codes[l], code_of(entry, static_cast<index_t>(l), family) + 1);
  auto const sum = std::accumulate(shape.codes.begin(), shape.codes.end(), index_t{0});
  expects_file(sum < token_limit, path, "item ", item, ": the codes of all levels add up to ", sum,
               ", expected less than ", token_limit);
}

}  // namespace detail

MQL4GREC_DEFINITION index_shape read_index_shape(std::filesystem::path const& path, modality_tokens const& family) {
  auto const content = detail::parse_object(read_file(path), path, "an object {\"item\": [token, …], …}");
  index_shape shape;
  for (auto const& [item, list] : content) detail::widen(shape, {path, core::detail::printable(item), list}, family);
  return shape;
}

}  // namespace mql4grec::language
