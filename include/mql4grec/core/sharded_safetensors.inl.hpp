#pragma once
// The definitions of core/sharded_safetensors.hpp.
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/core/sharded_safetensors.hpp"

namespace mql4grec {
inline namespace core {

namespace detail {

MQL4GREC_DEFINITION void expect_safetensors(std::filesystem::path const& directory) {
  std::error_code code;  // on any error the file counts as absent
  auto const exists = [&](char const* name) { return std::filesystem::exists(directory / name, code); };
  expects_file(std::filesystem::is_directory(directory, code), directory,
               "isn't a directory, expected one with config.json and model.safetensors");
  if (exists("model.safetensors") || exists("model.safetensors.index.json")) return;
  expects_file(!exists("pytorch_model.bin"), directory / "pytorch_model.bin",
               "a pickled checkpoint isn't supported; save it again with safe_serialization=True");
}

}  // namespace detail

MQL4GREC_DEFINITION sharded_safetensors::sharded_safetensors(std::filesystem::path const& directory)
    : path_(directory / "model.safetensors") {
  auto const index = directory / "model.safetensors.index.json";
  std::error_code code;  // any error of the system means that the file doesn't exist
  if (std::filesystem::exists(path_, code) || !std::filesystem::exists(index, code)) {
    auto const& whole = files_.emplace("model.safetensors", path_).first->second;
    for (auto const& name : whole.names()) file_of_.emplace(name, &whole);
  } else {
    path_ = index;
    read_index(directory);
  }
}

MQL4GREC_DEFINITION std::vector<std::string> sharded_safetensors::names() const {
  std::vector<std::string> all;
  for (auto const& [name, file] : file_of_) all.push_back(name);
  return all;
}

MQL4GREC_DEFINITION safetensors const& sharded_safetensors::file_of(std::string_view name) const {
  auto const found = file_of_.find(name);
  expects_file(found != file_of_.end(), path_, "tensor '", detail::printable(name), "' is missing");
  return *found->second;
}

MQL4GREC_DEFINITION void sharded_safetensors::read_index(std::filesystem::path const& directory) {
  json const content = read_json(path_), map = member<json>(content, "weight_map", path_);
  expects_file(map.is_object(), path_, "key 'weight_map' is a ", map.type_name(),
               ", expected an object {\"tensor\": \"file\", …}");
  for (auto const& [name, value] : map.items()) {
    if (!value.is_string()) [[unlikely]]
      raise<file_error>(path_.string(), ": key '", detail::printable(name), "' is a ", value.type_name(),
                        " of the wrong kind");
    auto const& file = value.get_ref<std::string const&>();
    bool const beside = file.ends_with(".safetensors") && file.find('/') == file.npos;
    expects_file(beside, path_, "tensor '", detail::printable(name), "': '", detail::printable(file),
                 "', expected a .safetensors file of this directory");
    auto const& opened = files_.try_emplace(file, directory / file).first->second;
    expects_file(opened.contains(name), opened.path(), "tensor '", detail::printable(name), "' is missing, but ",
                 path_.filename().string(), " lists it in this file");
    file_of_.emplace(name, &opened);
  }
  for (auto const& [file, opened] : files_)
    for (auto const& name : opened.names())
      expects_file(contains(name) && &file_of(name) == &opened, opened.path(), "tensor '", detail::printable(name),
                   "': ", path_.filename().string(), " doesn't list it in this file");
}

}  // namespace core
}  // namespace mql4grec
