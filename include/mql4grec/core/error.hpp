#pragma once
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <string>

namespace mql4grec {

/// Everything the library throws. what() is one line that names the value, its place and what was expected.
class error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A file that can't be read, written or believed; what() starts with its path.
class file_error : public error {
 public:
  using error::error;
};

/// Training that can't go on (a loss that isn't finite); the last good checkpoint is intact.
class training_error : public error {
 public:
  using error::error;
};

namespace detail {
template <class... Parts>
std::string concatenate(Parts const&... parts) {
  std::ostringstream line;
  (line << ... << parts);
  return std::move(line).str();
}

template <class Error = error, class... Parts>
[[noreturn]] void raise(Parts const&... parts) {  // the one place that throws
  throw Error(concatenate(parts...));
}
}  // namespace detail

/// Checks a caller's promise; the parts are joined into the message only when it is broken.
template <class... Parts>
void expects(bool holds, Parts const&... parts) {
  if (!holds) [[unlikely]]
    detail::raise(parts...);
}

/// The same for the content of a file: `expects_file(ok, path, "key 'a': expected a number")`.
template <class... Parts>
void expects_file(bool holds, std::filesystem::path const& path, Parts const&... parts) {
  if (!holds) [[unlikely]]
    detail::raise<file_error>(path.string(), ": ", parts...);
}

}  // namespace mql4grec
