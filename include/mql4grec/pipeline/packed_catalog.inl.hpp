#pragma once
// The definitions of pipeline/packed_catalog.hpp.
#include <utility>
#include <vector>

#include "mql4grec/catalog/dataset_paths.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/pipeline/dataset.hpp"
#include "mql4grec/pipeline/packed_catalog.hpp"

namespace mql4grec::pipeline {

MQL4GREC_DEFINITION search::packed_catalog_summary pack_catalog(std::filesystem::path const& directory,
                                                                language::vocabulary const& vocab) {
  catalog::dataset_paths const paths(directory);
  std::vector<search::packed_source> sources;  // before they are read: a change meanwhile is noticed later
  for (auto const& path : index_paths(paths, vocab)) sources.push_back(search::source_state(path));
  auto const data = read_dataset(directory, vocab);
  search::packed_catalog_writer to(paths.packed_catalog(), vocab, std::ssize(data.tokens),
                                   {.items = data.interactions.item_count, .sources = std::move(sources)});
  for (auto const& table : data.tokens) to.add(table);
  return to.commit();
}

MQL4GREC_DEFINITION std::shared_ptr<search::packed_catalog const> find_packed_catalog(
    std::filesystem::path const& directory, language::vocabulary const& vocab, search::packed_check check) {
  catalog::dataset_paths const paths(directory);
  if (!std::filesystem::exists(paths.packed_catalog())) return nullptr;
  auto packed = search::read_packed_catalog(paths.packed_catalog(), vocab, check);
  auto const indices = index_paths(paths, vocab);
  expects_file(packed->tables.size() == indices.size(), paths.packed_catalog(), "has ", packed->tables.size(),
               " modalities, expected ", indices.size());
  for (std::size_t m = 0; m < indices.size(); ++m)
    expects_file(!std::filesystem::exists(indices[m]) ||
                     (m < packed->sources.size() && search::is_unchanged(packed->sources[m], indices[m])),
                 paths.packed_catalog(), "was packed from another ", indices[m].filename().string(),
                 "; pack it again (mql4grec prepare --pack-catalog MODEL), or remove it");
  return packed;
}

}  // namespace mql4grec::pipeline
