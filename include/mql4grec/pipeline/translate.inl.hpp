#pragma once
// Definitions of what pipeline/translate.hpp declares and isn't a template.
#include "mql4grec/backend/contract/row_blocks.hpp"
#include "mql4grec/core/checksum.hpp"
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

MQL4GREC_DEFINITION void check_kept(translation_options const& options, index_t items,
                                    std::vector<index_t> const& sizes) {
  auto const& kept = options.kept;
  if (kept.items() == 0) return;
  expects(kept.items() <= items, "translate_catalog: kept codes of ", kept.items(), " items, but features of ", items);
  expects(kept.sizes() == sequence_sizes(sizes, options.policy),
          "translate_catalog: the kept codes have other levels than the quantizer and the collision policy make");
}

MQL4GREC_DEFINITION std::uint64_t checksum_of(any_collision_policy const& policy, index_t items,
                                              std::vector<index_t> const& sizes) {
  auto numbers = sequence_sizes(sizes, policy);
  numbers.insert(numbers.end(), {items, static_cast<index_t>(policy.index())});
  return checksum(std::as_bytes(std::span(numbers)));
}

MQL4GREC_DEFINITION std::uint64_t checksum_of(quantize::code_table const& codes) {
  auto const all = codes.all();
  return checksum(std::as_bytes(as_span(all.flat())), static_cast<std::uint64_t>(codes.levels()));
}

MQL4GREC_DEFINITION quantize::code_table part_of(quantize::code_table const& codes,
                                                 train::host_communicator const& ranks) {
  quantize::code_table part(codes.items(), codes.sizes());
  auto const mine = worker_share{ranks.rank(), ranks.world_size()}.of(codes.items());
  for (index_t i = mine.first; i < mine.first + mine.count; ++i)
    if (auto const item = item_id(static_cast<std::int32_t>(i)); codes.has(item)) part.set(item, codes.of(item));
  return part;
}

MQL4GREC_DEFINITION index_t add_kept(quantize::code_table const& kept, quantize::code_table& table) {
  index_t count = 0;
  for (index_t i = 0; i < kept.items(); ++i) {
    auto const item = item_id(static_cast<std::int32_t>(i));
    if (!kept.has(item)) continue;
    table.set(item, kept.of(item).first(to_size(table.levels())));
    ++count;
  }
  return count;
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

MQL4GREC_DEFINITION quantize::code_table read_index(std::filesystem::path const& path, index_codes const& expected) {
  auto const vocab = vocabulary_for(expected.kind, expected.sizes);
  auto const tokens = language::read_token_table(path, vocab, expected.kind, expected.items);
  quantize::code_table table(expected.items, expected.sizes);
  std::vector<code_t> codes;
  for (auto const item : tokens.present()) {
    codes.clear();
    for (auto const token : tokens.of(item)) codes.push_back(vocab.place(token).value().code);
    table.set(item, codes);
  }
  return table;
}

MQL4GREC_DEFINITION std::vector<index_t> sequence_sizes(std::vector<index_t> codebooks,
                                                        any_collision_policy const& policy) {
  if (auto const* const added = std::get_if<quantize::suffix>(&policy)) codebooks.push_back(added->codes);
  return codebooks;
}

}  // namespace mql4grec::pipeline
