#pragma once
// Definitions of what pipeline/dataset.hpp declares and isn't a template.
#include <algorithm>
#include <functional>

#include "mql4grec/catalog/checksum.hpp"
#include "mql4grec/catalog/interaction_files.hpp"
#include "mql4grec/catalog/split.hpp"
#include "mql4grec/core/checksum.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/language/read.hpp"
#include "mql4grec/pipeline/dataset.hpp"

namespace mql4grec::pipeline {

MQL4GREC_DEFINITION std::vector<item_id> catalog_of(tasks::dataset const& from) {
  catalog::distinct_items all;
  for (index_t u = 0; u < from.interactions.users(); ++u) all.add(from.interactions.of(user_id(u)));
  for (auto const& table : from.tokens) all.add(table.present());
  for (auto const& [item, description] : from.items) all.add(std::span(&item, 1));
  return all.sorted();
}

MQL4GREC_DEFINITION std::vector<item_id> items_without_tokens(tasks::dataset const& from) {
  bool const all_have = std::ranges::any_of(from.tokens, [&](language::token_table const& table) {
    return std::ssize(table.present()) == from.interactions.item_count;
  });
  if (all_have) return {};  // without a list of all items, of which there may be very many
  auto items = catalog_of(from);
  std::erase_if(items, [&](item_id item) {
    return std::ranges::any_of(from.tokens, [&](language::token_table const& table) { return table.has(item); });
  });
  return items;
}

MQL4GREC_DEFINITION std::filesystem::path index_path(catalog::dataset_paths const& paths, language::modality kind) {
  if (kind == language::modality::text) return paths.index("lemb");
  return paths.index(kind == language::modality::image ? "vitemb" : language::name_of(kind));
}

namespace detail {

/// The levels and codes that the indices of one modality require together; empty if there is no index.
MQL4GREC_DEFINITION std::vector<index_t> joint_shape(std::vector<std::filesystem::path> const& directories,
                                                     language::modality kind, language::modality_tokens const& family) {
  std::vector<index_t> codes;
  std::filesystem::path first;
  for (auto const& directory : directories) {
    auto const path = index_path(catalog::dataset_paths(directory), kind);
    if (!std::filesystem::exists(path)) continue;
    auto const shape = language::read_index_shape(path, family);
    if (shape.codes.empty()) continue;
    if (codes.empty()) {
      codes = shape.codes;
      first = path;
    }
    expects_file(shape.codes.size() == codes.size(), path, "item ", shape.item, " has ", shape.codes.size(),
                 " tokens, expected ", codes.size(), ", as many as those of ", first.string(), " have");
    for (std::size_t l = 0; l < codes.size(); ++l) codes[l] = std::max(codes[l], shape.codes[l]);
  }
  return codes;
}

MQL4GREC_DEFINITION bool fits(std::vector<index_t> const& codes, std::vector<index_t> const& room) {
  return codes.empty() || std::ranges::equal(codes, room, std::ranges::less_equal{});
}

}  // namespace detail

MQL4GREC_DEFINITION language::vocabulary vocabulary_of(std::vector<std::filesystem::path> const& directories,
                                                       language::vocabulary_options base) {
  for (std::size_t m = 0; m < base.modalities.size(); ++m) {
    auto& family = base.modalities[m];
    if (auto codes = detail::joint_shape(directories, language::modality(m), family);
        !detail::fits(codes, family.codes))
      family.codes = std::move(codes);
  }
  return language::vocabulary(std::move(base));
}

namespace detail {

/// The sequences in an index; of no item if the file is missing or the vocabulary lacks the modality.
MQL4GREC_DEFINITION language::token_table read_index(std::filesystem::path const& path,
                                                     language::vocabulary const& vocab, language::modality kind) {
  if (!vocab.has(kind)) return language::token_table(kind, 0, 1);
  if (!std::filesystem::exists(path)) return language::token_table(kind, 0, vocab.levels(kind));
  return language::read_token_table(path, vocab, kind);
}

/// The dataset of these parts; reads the descriptions of items.
tasks::dataset dataset_of(catalog::dataset_paths const& paths, catalog::interactions interactions,
                          std::vector<language::token_table> tokens);

/// Throws file_error if none of the token indices exists.
MQL4GREC_DEFINITION void expect_one_of(std::vector<std::filesystem::path> const& indices) {
  if (std::ranges::any_of(indices, [](auto const& path) { return std::filesystem::exists(path); })) return;
  std::string others;
  for (std::size_t m = 1; m < indices.size(); ++m) others += ", and so is " + indices[m].filename().string();
  expects_file(false, indices.front(), "is missing", others, ", expected at least one of them");
}

}  // namespace detail

MQL4GREC_DEFINITION std::vector<std::filesystem::path> index_paths(catalog::dataset_paths const& paths,
                                                                   language::vocabulary const& vocab) {
  std::vector<std::filesystem::path> indices;
  for (index_t m = 0; m < std::max(language::paper_modalities, vocab.modalities()); ++m)
    indices.push_back(index_path(paths, language::modality(m)));
  return indices;
}

MQL4GREC_DEFINITION std::vector<language::token_table> read_token_tables(catalog::dataset_paths const& paths,
                                                                         language::vocabulary const& vocab) {
  auto const indices = index_paths(paths, vocab);
  detail::expect_one_of(indices);
  std::vector<language::token_table> tables;
  for (std::size_t m = 0; m < indices.size(); ++m)
    tables.push_back(detail::read_index(indices[m], vocab, language::modality(m)));
  return tables;
}

MQL4GREC_DEFINITION tasks::dataset read_dataset(std::filesystem::path const& directory,
                                                language::vocabulary const& vocab) {
  catalog::dataset_paths const paths(directory);
  auto interactions = catalog::read_interactions(paths);  // first: their errors come first
  return detail::dataset_of(paths, std::move(interactions), read_token_tables(paths, vocab));
}

MQL4GREC_DEFINITION tasks::dataset read_dataset(std::filesystem::path const& directory,
                                                std::vector<language::token_table> tokens) {
  catalog::dataset_paths const paths(directory);
  return detail::dataset_of(paths, catalog::read_interactions(paths), std::move(tokens));
}

namespace detail {

MQL4GREC_DEFINITION tasks::dataset dataset_of(catalog::dataset_paths const& paths, catalog::interactions interactions,
                                              std::vector<language::token_table> tokens) {
  tasks::dataset read{.interactions = std::move(interactions), .tokens = std::move(tokens), .name = paths.name()};
  if (std::filesystem::exists(paths.items())) read.items = catalog::read_items(paths.items());
  auto& items = read.interactions.item_count;
  for (auto const& table : read.tokens) items = std::max(items, table.items());
  if (!read.items.empty()) items = std::max(items, index(read.items.rbegin()->first) + 1);
  for (auto& table : read.tokens) table.widen(items);
  return read;
}

}  // namespace detail

MQL4GREC_DEFINITION void split_by_time(tasks::dataset& data, std::filesystem::path const& directory, double until) {
  catalog::dataset_paths const paths(directory);
  auto const times = catalog::read_times(paths, data.interactions);
  auto const found = catalog::find_interactions(paths);
  auto const path = found.form == catalog::interaction_form::json ? paths.times() : found.files.front();
  auto const [first, last] = std::ranges::minmax(times);
  expects_file(first < until && until <= last, path, "the times are from ", catalog::time_text(first), " to ",
               catalog::time_text(last), ", and ", catalog::time_text(until), " doesn't divide them");
  catalog::split_by_time(data.interactions, times, until);
}

namespace detail {

MQL4GREC_DEFINITION std::uint64_t checksum_of(tasks::dataset const& data) {
  auto sum = catalog::checksum_of(data.interactions);
  auto const add = [&sum]<class T>(std::span<T const> values) { sum = checksum(std::as_bytes(values), sum); };
  for (auto const& table : data.tokens) {
    add(table.present());
    add(table.tokens());
  }
  return sum;
}

}  // namespace detail
}  // namespace mql4grec::pipeline
