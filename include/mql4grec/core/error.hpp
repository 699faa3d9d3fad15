#pragma once
// The exceptions of the library. All are thrown by raise; messages are one line.
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <string>

namespace mql4grec {
inline namespace core {

/// The base of all exceptions of the library. what() is one line with the value, its place and what was expected.
class error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A file that can't be read or written, or whose content is invalid. what() begins with its path.
class file_error : public error {
 public:
  using error::error;
};

/// Training that can't continue (a loss that isn't finite). The last good checkpoint is intact.
class training_error : public error {
 public:
  using error::error;
};

/// A device that fails or has too little memory. What computes on it has to be made anew.
class device_error : public error {
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

}  // namespace detail

/// Throws `Error` with the concatenated parts as its message. Every exception of the library is thrown here.
template <class Error = error, class... Parts>
[[noreturn]] void raise(Parts const&... parts) {
  throw Error(detail::concatenate(parts...));
}

/// Throws error when a precondition doesn't hold. The parts are concatenated to the message only then.
template <class... Parts>
void expects(bool holds, Parts const&... parts) {
  if (!holds) [[unlikely]]
    raise(parts...);
}

/// The same for the content of a file, with file_error: `expects_file(ok, path, "key 'a': expected a number")`.
template <class... Parts>
void expects_file(bool holds, std::filesystem::path const& path, Parts const&... parts) {
  if (!holds) [[unlikely]]
    raise<file_error>(path.string(), ": ", parts...);
}

}  // namespace core
}  // namespace mql4grec
