#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace mql4grec {

/// The files of a dataset directory `…/Name`, all of which begin with `Name.`.
class dataset_paths {
 public:
  explicit dataset_paths(std::filesystem::path directory) : directory_(std::move(directory)) {
    auto whole = std::filesystem::absolute(directory_).lexically_normal();  // so that "." and "…/Name/" have a name too
    name_ = (whole.has_filename() ? whole : whole.parent_path()).filename().string();
  }

  std::filesystem::path const& directory() const { return directory_; }
  std::string const& name() const { return name_; }

  std::filesystem::path interactions() const { return file(".inter.json"); }
  std::filesystem::path items() const { return file(".item.json"); }
  std::filesystem::path text_index() const { return index("lemb"); }
  std::filesystem::path image_index() const { return index("vitemb"); }
  std::filesystem::path index(std::string_view which) const { return file(".index_" + std::string(which) + ".json"); }
  std::filesystem::path embeddings(std::string_view encoder) const {
    return file(".emb-" + std::string(encoder) + ".npy");
  }
  std::filesystem::path item_ids() const { return file(".item2id"); }
  std::filesystem::path user_ids() const { return file(".user2id"); }

 private:
  std::filesystem::path file(std::string const& ending) const { return directory_ / (name_ + ending); }

  std::filesystem::path directory_;
  std::string name_;
};

}  // namespace mql4grec
