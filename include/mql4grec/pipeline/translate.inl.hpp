#pragma once
// Definitions of what pipeline/translate.hpp declares and isn't a template.
#include "mql4grec/language/read.hpp"
#include "mql4grec/language/to_tokens.hpp"
#include "mql4grec/pipeline/translate.hpp"

namespace mql4grec::pipeline {

MQL4GREC_DEFINITION any_collision_policy collision_policy_named(std::string const& name) {
  if (name == "reallocate") return quantize::reallocate{};
  if (name == "match") return quantize::match{};
  if (name == "suffix") return quantize::suffix{};
  if (name == "none") return quantize::keep_collisions{};
  raise("collisions '", name, "': expected reallocate, match, suffix or none");
}

namespace detail {

MQL4GREC_DEFINITION quantize::code_table spread(quantize::code_table const& some, std::vector<index_t> const& rows,
                                                index_t items) {
  quantize::code_table all(items, some.sizes());
  for (std::size_t i = 0; i < rows.size(); ++i)
    all.set(item_id(static_cast<std::int32_t>(rows[i])), some.of(item_id(static_cast<std::int32_t>(i))));
  return all;
}

}  // namespace detail

MQL4GREC_DEFINITION language::vocabulary vocabulary_for(language::modality kind, std::vector<index_t> const& sizes) {
  language::vocabulary_options options;
  options.modalities.at(static_cast<std::size_t>(kind)).codes = sizes;
  return language::vocabulary(std::move(options));
}

MQL4GREC_DEFINITION void write_index(std::filesystem::path const& path, quantize::code_table const& codes,
                                     language::modality kind) {
  auto const vocab = vocabulary_for(kind, codes.sizes());
  language::write_token_table(path, language::to_tokens(codes.all(), vocab, kind), vocab);
}

}  // namespace mql4grec::pipeline
