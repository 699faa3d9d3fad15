#pragma once
// The tensors of a model directory as transformers' save_pretrained writes them: in model.safetensors, or in several
// files that model.safetensors.index.json lists.
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/safetensors.hpp"

namespace mql4grec {

/// All files of a model, each fully checked when opened. Throws file_error when a file is missing or damaged, when the
/// index names a file outside the directory, or when files and index disagree about which tensor is where.
class sharded_safetensors {
 public:
  /// model.safetensors goes before an index.
  explicit sharded_safetensors(std::filesystem::path const& directory);
  sharded_safetensors(sharded_safetensors const&) = delete;
  sharded_safetensors& operator=(sharded_safetensors const&) = delete;

  /// Of the file that lists the tensors.
  std::filesystem::path const& path() const { return path_; }

  /// In alphabetical order.
  std::vector<std::string> names() const;
  bool contains(std::string_view name) const { return file_of_.contains(name); }
  /// The file that holds a tensor.
  safetensors const& file_of(std::string_view name) const;

 private:
  void read_index(std::filesystem::path const& directory);

  std::filesystem::path path_;
  std::map<std::string, safetensors> files_;                        // by name
  std::map<std::string, safetensors const*, std::less<>> file_of_;  // by tensor
};

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/core/sharded_safetensors.inl.hpp"
#endif
