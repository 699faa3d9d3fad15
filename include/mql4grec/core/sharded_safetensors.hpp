#pragma once
// The tensors of a model directory in the layout of transformers' save_pretrained: in model.safetensors, or in several
// files that model.safetensors.index.json lists. When both exist, model.safetensors is used.
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/safetensors.hpp"

namespace mql4grec {
inline namespace core {

/// All tensor files of a model; each is fully checked when opened. Throws file_error when a file is missing or damaged,
/// when the index names a file outside the directory, or when files and index disagree about which tensor is where.
/// const members may be called from many threads.
class sharded_safetensors {
 public:
  /// Opens the files of a directory; model.safetensors takes precedence over an index.
  explicit sharded_safetensors(std::filesystem::path const& directory);
  sharded_safetensors(sharded_safetensors const&) = delete;
  sharded_safetensors& operator=(sharded_safetensors const&) = delete;

  /// The path of the file that lists the tensors: model.safetensors or the index.
  std::filesystem::path const& path() const { return path_; }

  /// The names of all tensors, in alphabetical order.
  std::vector<std::string> names() const;
  /// Whether there is a tensor with this name.
  bool contains(std::string_view name) const { return file_of_.contains(name); }
  /// The file that contains a tensor. Throws file_error when there is none.
  safetensors const& file_of(std::string_view name) const;

 private:
  void read_index(std::filesystem::path const& directory);

  std::filesystem::path path_;
  std::map<std::string, safetensors> files_;                        // by file name
  std::map<std::string, safetensors const*, std::less<>> file_of_;  // by tensor name
};

namespace detail {
/// Throws file_error if there is no such directory, or if it contains a pickled checkpoint (pytorch_model.bin) and no
/// safetensors; the message states how to convert it.
void expect_safetensors(std::filesystem::path const& directory);
}  // namespace detail

}  // namespace core
}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/core/sharded_safetensors.inl.hpp"
#endif
