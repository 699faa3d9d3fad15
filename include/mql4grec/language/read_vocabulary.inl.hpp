#pragma once
// The definitions of language/read_vocabulary.hpp.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <utility>

#include "mql4grec/core/detail/whole_number.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/language/detail/parse.hpp"
#include "mql4grec/language/read_vocabulary.hpp"

namespace mql4grec::language {

namespace detail {

/// The id in a JSON value; `word` is for the error message.
MQL4GREC_DEFINITION token_t id_from(json const& value, std::filesystem::path const& path, std::string const& word) {
  bool const fits = value.is_number_unsigned() && value.get<std::uint64_t>() < std::uint64_t{token_limit};
  if (!fits)
    raise<file_error>(path.string(), ": token '", core::detail::printable(word),
                      "': expected an id of 0 or more and less than ", token_limit, ", found ",
                      core::detail::shown(value));
  return static_cast<token_t>(value.get<std::int32_t>());
}

/// Reads `added_tokens.json`: {"<a_0>": 32100, …}.
MQL4GREC_DEFINITION word_ids read_added_tokens(std::filesystem::path const& path) {
  word_ids ids;
  auto const content = parse_object(read_file(path), path, "an object {\"token\": id, …}");
  for (auto const& [word, id] : content) ids.emplace(word, id_from(id, path, word));
  return ids;
}

/// Reads `tokenizer.json`: {"added_tokens": [{"id": 32100, "content": "<a_0>"}, …]}.
MQL4GREC_DEFINITION word_ids read_tokenizer(std::filesystem::path const& path) {
  word_ids ids;
  auto const content = parse_object(read_file(path), path, "an object with \"added_tokens\"");
  auto const list = content.find("added_tokens");
  expects_file(list != content.end() && list->second.is_array(), path, "expected a list under 'added_tokens'");
  for (auto const& entry : list->second) {
    bool const complete =
        entry.is_object() && entry.contains("content") && entry["content"].is_string() && entry.contains("id");
    expects_file(complete, path, "key 'added_tokens', place ", ids.size(), ": expected {\"id\", \"content\"}");
    auto const word = entry["content"].get<std::string>();
    ids.emplace(word, id_from(entry["id"], path, word));
  }
  return ids;
}

MQL4GREC_DEFINITION std::optional<numbered_word> split_word(std::string_view word) {
  auto const bar = word.rfind('_');
  bool const shaped = word.starts_with('<') && word.ends_with('>') && bar != word.npos && bar > 1;
  auto const number = shaped ? core::detail::whole_number(word.substr(bar + 1, word.size() - bar - 2),
                                                          std::numeric_limits<index_t>::max())
                             : std::nullopt;
  if (!number) return std::nullopt;
  return numbered_word{std::string(word.substr(1, bar - 1)), *number};
}

MQL4GREC_DEFINITION vocabulary_options options_from(word_ids const& ids) {
  vocabulary_options found{.modalities = {}, .prompts = 0};
  std::map<std::string, index_t> codes;     // K by prefix
  std::map<std::string, token_t> first_id;  // the smallest id by prefix
  for (auto const& [word, id] : ids) {
    auto const parts = split_word(word);
    if (!parts || parts->prefix == "extra_id") continue;
    if (parts->number >= code_limit)
      raise("the token ", core::detail::printable(word), ", expected a number less than ", code_limit);
    auto& count = parts->prefix == "*" ? found.prompts : codes[parts->prefix];
    count = std::max(count, parts->number + 1);
    auto& first = first_id.emplace(parts->prefix, id).first->second;
    first = std::min(first, id);
  }
  index_t sum = found.prompts;
  for (auto const& [prefix, count] : codes) sum += count;
  expects(sum < token_limit, "the numbers of tokens like <a_0> add up to ", sum, ", expected less than ", token_limit);
  auto const continues_another = [&](std::string prefix) {
    --prefix.back();
    return codes.contains(prefix);
  };
  for (auto const& [prefix, count] : codes) {
    if (continues_another(prefix)) continue;
    modality_tokens family{prefix, {}};
    for (auto level = codes.find(prefix); level != codes.end();) {
      family.codes.push_back(level->second);
      level = codes.find(family.prefix_of(std::ssize(family.codes)));
    }
    found.modalities.push_back(std::move(family));
  }
  auto const rank = [&](modality_tokens const& family) {
    auto const known = family.prefix == "a" ? 0 : family.prefix == "A" ? 1 : 2;
    return std::pair(known, first_id.at(family.prefix));
  };
  std::ranges::sort(found.modalities, {}, rank);
  if (!codes.contains("a") && codes.contains("A"))
    found.modalities.insert(found.modalities.begin(), modality_tokens{"a", {}});
  return found;
}

}  // namespace detail

MQL4GREC_DEFINITION vocabulary read_vocabulary(std::filesystem::path const& directory) {
  auto const added = directory / "added_tokens.json";
  auto const tokenizer = directory / "tokenizer.json";
  bool const has_added = std::filesystem::exists(added);
  expects_file(has_added || std::filesystem::exists(tokenizer), directory,
               "holds neither added_tokens.json nor tokenizer.json");
  auto const& path = has_added ? added : tokenizer;
  auto const ids = has_added ? detail::read_added_tokens(added) : detail::read_tokenizer(tokenizer);
  for (auto const& [word, expected] : {std::pair("<pad>", vocabulary::pad), std::pair("</s>", vocabulary::eos)}) {
    auto const found = ids.find(word);
    expects_file(found == ids.end() || found->second == expected, path, "token ", word, " must have the id ",
                 index(expected));
  }
  try {
    auto const options = detail::options_from(ids);
    expects(!options.modalities.empty(), "holds no tokens like <a_0>");
    return vocabulary(options, ids);
  } catch (error const& e) {
    raise<file_error>(path.string(), ": ", e.what());
  }
}

}  // namespace mql4grec::language
