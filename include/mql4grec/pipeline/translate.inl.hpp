#pragma once
// Definitions of what pipeline/translate.hpp declares and isn't a template.
#include "mql4grec/language/read.hpp"
#include "mql4grec/language/to_tokens.hpp"
#include "mql4grec/pipeline/translate.hpp"

namespace mql4grec {

MQL4GREC_DEFINITION any_collision_policy collision_policy_named(std::string const& name) {
  if (name == "reallocate") return reallocate{};
  if (name == "match") return match{};
  if (name == "suffix") return suffix{};
  if (name == "none") return keep_collisions{};
  detail::raise("collisions '", name, "': expected reallocate, match, suffix or none");
}

namespace detail {

MQL4GREC_DEFINITION code_table spread(code_table const& some, std::vector<index_t> const& rows, index_t items) {
  code_table all(items, some.sizes());
  for (std::size_t i = 0; i < rows.size(); ++i)
    all.set(item_id(static_cast<std::int32_t>(rows[i])), some.of(item_id(static_cast<std::int32_t>(i))));
  return all;
}

}  // namespace detail

MQL4GREC_DEFINITION vocabulary vocabulary_for(modality kind, std::vector<index_t> const& sizes) {
  vocabulary_options options;
  options.modalities.at(static_cast<std::size_t>(kind)).codes = sizes;
  return vocabulary(std::move(options));
}

MQL4GREC_DEFINITION void write_index(std::filesystem::path const& path, code_table const& codes, modality kind) {
  auto const vocab = vocabulary_for(kind, codes.sizes());
  write_token_table(path, to_tokens(codes.all(), vocab, kind), vocab);
}

}  // namespace mql4grec
