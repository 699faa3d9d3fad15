#pragma once
// Regular files that are read at random positions.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace core {
namespace detail {

/// A regular file that is read in pieces. It isn't memory-mapped: a file that becomes shorter while it is read is an
/// error, and not a signal. const members may be called from many threads.
class input_file {
 public:
  explicit input_file(std::filesystem::path path) : path_(std::move(path)) {
    descriptor_ =
        ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // O_NONBLOCK: opening a pipe must not block
    expects_file(descriptor_ >= 0, path_, "can't be opened for reading: ", std::strerror(errno));
    struct ::stat status {};
    bool const regular = ::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
    if (!regular) ::close(descriptor_);
    expects_file(regular, path_, "isn't a regular file");
    size_ = static_cast<index_t>(status.st_size);
  }
  input_file(input_file&& other) noexcept
      : path_(std::move(other.path_)), size_(other.size_), descriptor_(std::exchange(other.descriptor_, -1)) {}
  input_file& operator=(input_file&&) = delete;
  ~input_file() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  std::filesystem::path const& path() const { return path_; }
  index_t size() const { return size_; }  ///< in bytes, when it was opened
  /// For calls of the system; it stays open as long as this object.
  int descriptor() const { return descriptor_; }
  void read(index_t begin, void* data, index_t bytes) const {
    auto* next = static_cast<char*>(data);
    while (bytes > 0) {
      ::ssize_t const got = ::pread(descriptor_, next, to_size(bytes), begin);
      if (got < 0 && errno == EINTR) continue;
      expects_file(got >= 0, path_, "can't be read: ", std::strerror(errno));
      expects_file(got > 0, path_, "ends at byte ", begin, ", has become shorter while it was read");
      next += got;
      begin += got;
      bytes -= got;
    }
  }

 private:
  std::filesystem::path path_;
  index_t size_ = 0;
  int descriptor_ = -1;
};

}  // namespace detail
}  // namespace core
}  // namespace mql4grec
