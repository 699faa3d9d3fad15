#pragma once
// Regular files mapped into memory, for weights that are read once and in any order.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <span>
#include <utility>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace core {
namespace detail {

/// A file's bytes, read-only. Reading a mapped page beyond the end of a file that became shorter is a signal (SIGBUS),
/// so readers call expect_unchanged() before they read a large part. const members may be called from many threads.
class mapped_file {
 public:
  explicit mapped_file(std::filesystem::path path) : path_(std::move(path)) {
    descriptor_ =
        ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // O_NONBLOCK: opening a pipe must not block
    expects_file(descriptor_ >= 0, path_, "can't be opened for reading: ", std::strerror(errno));
    try {
      map();
    } catch (...) {
      ::close(descriptor_);
      throw;
    }
  }
  mapped_file(mapped_file&& other) noexcept
      : path_(std::move(other.path_)),
        descriptor_(std::exchange(other.descriptor_, -1)),
        bytes_(std::exchange(other.bytes_, {})) {}
  mapped_file& operator=(mapped_file&&) = delete;
  ~mapped_file() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  std::filesystem::path const& path() const { return path_; }
  /// All bytes of the file.
  std::span<std::byte const> bytes() const { return bytes_; }
  /// Maps bytes of the file over memory that was reserved by mmap, page by page: `begin` and `memory` are multiples of
  /// the size of a page. What is written there stays in this process. Throws file_error when that fails.
  void map_over(void* memory, index_t begin, index_t bytes) const {
    if (bytes == 0) return;
    void* const at = ::mmap(memory, to_size(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE,
                            descriptor_, static_cast<::off_t>(begin));
    expects_file(at != MAP_FAILED, path_, "can't be mapped into memory: ", std::strerror(errno));
  }
  /// Throws file_error when the file is shorter than it was when it was opened.
  void expect_unchanged() const {
    struct ::stat status {};
    bool const known = ::fstat(descriptor_, &status) == 0;
    expects_file(known && std::cmp_greater_equal(status.st_size, bytes_.size()), path_, "is ", status.st_size,
                 " bytes, has become shorter than the ", bytes_.size(), " when it was opened");
  }

 private:
  void map() {
    struct ::stat status {};
    expects_file(::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode), path_, "isn't a regular file");
    if (status.st_size == 0) return;
    auto const size = to_size(status.st_size);
    void* const start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor_, 0);
    expects_file(start != MAP_FAILED, path_, "can't be mapped into memory: ", std::strerror(errno));
    bytes_ = {static_cast<std::byte const*>(start), size};
  }

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::span<std::byte const> bytes_;
};

}  // namespace detail
}  // namespace core
}  // namespace mql4grec
