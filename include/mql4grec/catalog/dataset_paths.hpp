#pragma once
// The names of the files in a dataset directory. Nothing here touches the disk: a path is returned whether its file
// exists or not.
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace mql4grec::catalog {

/// The paths of the files in a dataset directory `…/Name`. The name of every file starts with `Name.`, the name of the
/// directory.
class dataset_paths {
 public:
  /// The paths of `directory`, which may be relative and need not exist.
  explicit dataset_paths(std::filesystem::path directory) : directory_(std::move(directory)) {
    // Made absolute first, so that "." and "…/Name/" have a name too.
    auto whole = std::filesystem::absolute(directory_).lexically_normal();
    name_ = (whole.has_filename() ? whole : whole.parent_path()).filename().string();
  }

  /// The directory as it was given.
  std::filesystem::path const& directory() const { return directory_; }
  /// The last component of the directory's absolute path.
  std::string const& name() const { return name_; }

  /// `Name.inter.json`; see read_interactions().
  std::filesystem::path interactions() const { return file(".inter.json"); }
  /// `Name.inter.jsonl`; see interaction_files.hpp.
  std::filesystem::path interaction_lines() const { return file(".inter.jsonl"); }
  /// `Name.inter.packed`; see packed_interactions.hpp.
  std::filesystem::path packed() const { return file(".inter.packed"); }
  /// `Name.catalog.packed`; see pipeline/packed_catalog.hpp.
  std::filesystem::path packed_catalog() const { return file(".catalog.packed"); }
  /// `Name.times.json`; see read_times().
  std::filesystem::path times() const { return file(".times.json"); }
  /// `Name.item.json`; see read_items().
  std::filesystem::path items() const { return file(".item.json"); }
  /// `Name.sets.json`: named sets of items; see docs/file-formats.md.
  std::filesystem::path sets() const { return file(".sets.json"); }
  /// `Name.item2id`; see read_ids().
  std::filesystem::path item_ids() const { return file(".item2id"); }
  /// `Name.user2id`; see read_ids().
  std::filesystem::path user_ids() const { return file(".user2id"); }
  /// A token index, `Name.index_<which>.json`; index_path() has the names of the modalities.
  std::filesystem::path index(std::string_view which) const { return file(".index_" + std::string(which) + ".json"); }
  /// The features of the items, `Name.emb-<encoder>.npy`.
  std::filesystem::path embeddings(std::string_view encoder) const {
    return file(".emb-" + std::string(encoder) + ".npy");
  }

 private:
  std::filesystem::path file(std::string const& suffix) const { return directory_ / (name_ + suffix); }

  std::filesystem::path directory_;
  std::string name_;
};

}  // namespace mql4grec::catalog
