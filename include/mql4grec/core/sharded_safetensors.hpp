#pragma once
// The tensors of a model directory as transformers' save_pretrained writes them: in model.safetensors, or in several files that
// model.safetensors.index.json lists.
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mql4grec/core/json.hpp"
#include "mql4grec/core/safetensors.hpp"

namespace mql4grec {

/// All files of a model, each fully checked when opened. Throws file_error when a file is missing or damaged, when the index names a file outside
/// the directory, or when files and index disagree about which tensor is where.
class sharded_safetensors {
 public:
  /// model.safetensors goes before an index.
  explicit sharded_safetensors(std::filesystem::path const& directory) : path_(directory / "model.safetensors") {
    auto const index = directory / "model.safetensors.index.json";
    std::error_code code;  // whatever the system objects to, the file isn't there for us
    if (std::filesystem::exists(path_, code) || !std::filesystem::exists(index, code)) {
      auto const& whole = files_.emplace("model.safetensors", path_).first->second;
      for (auto const& name : whole.names()) file_of_.emplace(name, &whole);
    } else {
      path_ = index;
      read_index(directory);
    }
  }
  sharded_safetensors(sharded_safetensors const&) = delete;
  sharded_safetensors& operator=(sharded_safetensors const&) = delete;

  /// Of the file that lists the tensors.
  std::filesystem::path const& path() const { return path_; }

  /// In alphabetical order.
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (auto const& [name, file] : file_of_) all.push_back(name);
    return all;
  }
  bool contains(std::string_view name) const { return file_of_.contains(name); }
  /// The file that holds a tensor.
  safetensors const& file_of(std::string_view name) const {
    auto const found = file_of_.find(name);
    expects_file(found != file_of_.end(), path_, "tensor '", detail::printable(name), "' is missing");
    return *found->second;
  }

 private:
  void read_index(std::filesystem::path const& directory) {
    json const content = read_json(path_), map = member<json>(content, "weight_map", path_);
    expects_file(map.is_object(), path_, "key 'weight_map' is a ", map.type_name(), ", expected an object {\"tensor\": \"file\", …}");
    for (auto const& [name, value] : map.items()) {
      auto const file = member<std::string>(map, name, path_);
      bool const beside = file.ends_with(".safetensors") && file.find('/') == file.npos;
      expects_file(beside, path_, "tensor '", detail::printable(name), "': '", detail::printable(file), "', expected a .safetensors file of this directory");
      auto const& opened = files_.try_emplace(file, directory / file).first->second;
      expects_file(opened.contains(name), opened.path(), "tensor '", detail::printable(name), "' is missing, but ", path_.filename().string(), " says it is here");
      file_of_.emplace(name, &opened);
    }
    for (auto const& [file, opened] : files_)
      for (auto const& name : opened.names())
        expects_file(contains(name) && &file_of(name) == &opened, opened.path(), "tensor '", detail::printable(name), "': ", path_.filename().string(),
                     " doesn't say that it is here");
  }

  std::filesystem::path path_;
  std::map<std::string, safetensors> files_;  // by name
  std::map<std::string, safetensors const*, std::less<>> file_of_;  // by tensor
};

}  // namespace mql4grec
