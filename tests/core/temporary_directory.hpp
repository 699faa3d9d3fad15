#pragma once
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

namespace mql4grec::test {

/// A fresh directory that is gone, with everything in it, when its scope ends.
class temporary_directory {
 public:
  temporary_directory() {
    std::string name = (std::filesystem::temp_directory_path() / "mql4grec_test_XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  temporary_directory(temporary_directory const&) = delete;
  temporary_directory& operator=(temporary_directory const&) = delete;
  ~temporary_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::filesystem::path const& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator()));
  }

 private:
  std::filesystem::path path_;
};

/// Bytes put into a file as they are, without the library.
inline void put(std::filesystem::path const& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// What a call complains with; empty when it doesn't.
template <class Error, class Call>
std::string complaint(Call&& call) {
  try {
    call();
  } catch (Error const& e) {
    return e.what();
  }
  return "";
}

}  // namespace mql4grec::test
