#include "mql4grec/core/sharded_safetensors.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/temporary_directory.hpp"

using namespace mql4grec;
using test::complaint;
using test::put;
using test::temporary_directory;

namespace {
/// A file with a tensor of one number for each name.
void write_numbers(std::filesystem::path const& path, std::vector<std::pair<std::string, float>> const& numbers) {
  std::vector<named_tensor> tensors;
  for (auto const& [name, value] : numbers) tensors.push_back({name, {1}, host_vector_view<float const>(&value, 1)});
  write_safetensors(path, tensors);
}
float number(sharded_safetensors const& files, std::string const& name) {
  return files.file_of(name).values<float>(name).front();
}
}  // namespace

TEST_CASE("sharded_safetensors: one file and several files with an index have the same tensors") {
  temporary_directory const one, many;
  write_numbers(one / "model.safetensors", {{"a", 1.f}, {"b", 2.f}, {"c", 3.f}});
  write_numbers(many / "x.safetensors", {{"c", 3.f}, {"a", 1.f}});
  write_numbers(many / "y.safetensors", {{"b", 2.f}});
  put(many / "model.safetensors.index.json",
      R"({"metadata": {}, "weight_map": {"c": "x.safetensors", "b": "y.safetensors", "a": "x.safetensors"}})");
  for (auto const* directory : {&one, &many}) {
    sharded_safetensors const files(directory->path());
    CHECK(files.names() == std::vector<std::string>{"a", "b", "c"});
    CHECK(number(files, "a") + 10 * number(files, "b") + 100 * number(files, "c") == 321);
    CHECK(!files.contains("d"));
    CHECK(complaint<file_error>([&] { static_cast<void>(files.file_of("d")); }) ==
          files.path().string() + ": tensor 'd' is missing");
  }
  write_numbers(many / "model.safetensors", {{"a", 7.f}});
  CHECK(number(sharded_safetensors(many.path()), "a") == 7);  // a single file has precedence over an index
}

TEST_CASE("sharded_safetensors: a directory without tensors and a duplicate key of the index are refused") {
  temporary_directory const directory;
  CHECK(complaint<file_error>([&] { return sharded_safetensors(directory.path()); }) ==
        (directory / "model.safetensors").string() + ": can't be opened for reading: No such file or directory");
  put(directory / "model.safetensors.index.json", R"({"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}})");
  CHECK(complaint<file_error>([&] { return sharded_safetensors(directory.path()); }) ==
        (directory / "model.safetensors.index.json").string() + ": key 'a' of 'weight_map' appears twice");
}
