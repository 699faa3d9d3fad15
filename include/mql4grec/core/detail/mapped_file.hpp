#pragma once
// Regular files mapped into memory, for weights that are read once and in any order.
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <span>
#include <utility>

#include "mql4grec/core/detail/input_file.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace core {
namespace detail {

/// A file's bytes, read-only. Reading a mapped page beyond the end of a file that became shorter is a signal (SIGBUS),
/// so readers call expect_unchanged() before they read a large part. const members may be called from many threads.
class mapped_file {
 public:
  explicit mapped_file(std::filesystem::path path) : file_(std::move(path)) {
    if (file_.size() == 0) return;
    auto const size = to_size(file_.size());
    void* const start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file_.descriptor(), 0);
    expects_file(start != MAP_FAILED, file_.path(), "can't be mapped into memory: ", std::strerror(errno));
    bytes_ = {static_cast<std::byte const*>(start), size};
  }
  mapped_file(mapped_file&& other) noexcept : file_(std::move(other.file_)), bytes_(std::exchange(other.bytes_, {})) {}
  mapped_file& operator=(mapped_file&&) = delete;
  ~mapped_file() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }

  std::filesystem::path const& path() const { return file_.path(); }
  /// All bytes of the file.
  std::span<std::byte const> bytes() const { return bytes_; }
  /// Maps bytes of the file over memory that was reserved by mmap, page by page: `begin` and `memory` are multiples of
  /// the size of a page. What is written there stays in this process. Throws file_error when that fails.
  void map_over(void* memory, index_t begin, index_t bytes) const {
    if (bytes == 0) return;
    void* const at = ::mmap(memory, to_size(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE,
                            file_.descriptor(), static_cast<::off_t>(begin));
    expects_file(at != MAP_FAILED, path(), "can't be mapped into memory: ", std::strerror(errno));
  }
  /// Throws file_error when the file is shorter than it was when it was opened.
  void expect_unchanged() const {
    struct ::stat status {};
    bool const known = ::fstat(file_.descriptor(), &status) == 0;
    expects_file(known && std::cmp_greater_equal(status.st_size, bytes_.size()), path(), "is ", status.st_size,
                 " bytes, has become shorter than the ", bytes_.size(), " when it was opened");
  }

 private:
  input_file file_;
  std::span<std::byte const> bytes_;
};

}  // namespace detail
}  // namespace core
}  // namespace mql4grec
