#pragma once
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <string_view>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"

namespace mql4grec::test {

/// A directory that is gone at the end of the test.
class scratch {
 public:
  scratch() {
    static std::atomic<int> count = 0;
    directory_ = std::filesystem::temp_directory_path() /
                 ("mql4grec_test_" + std::to_string(::getpid()) + "_" + std::to_string(count++));
    make_directory(directory_);
  }
  scratch(scratch const&) = delete;
  scratch& operator=(scratch const&) = delete;
  ~scratch() { std::filesystem::remove_all(directory_); }

  std::filesystem::path operator/(std::string_view name) const { return directory_ / name; }
  std::filesystem::path const& path() const { return directory_; }

  /// A file with this content.
  std::filesystem::path file(std::string_view content, std::string_view name = "file.json") const {
    auto const path = directory_ / name;
    write_file(path, content);
    return path;
  }

 private:
  std::filesystem::path directory_;
};

/// What a call complains about; empty when it doesn't.
template <class F>
std::string complaint_of(F f) {
  try {
    f();
    return {};
  } catch (error const& e) {
    return e.what();
  }
}

inline bool has(std::string const& text, std::string_view part) { return text.find(part) != text.npos; }

}  // namespace mql4grec::test
