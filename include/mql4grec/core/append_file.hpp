#pragma once
// Files that grow by records, such as logs, and the locks of files that one process uses at a time.
//
// A record is on the disk when append() returns. The next one is written only then, so that after a crash only the last
// record can be incomplete; who reads the file recognizes it and cuts it off.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <utility>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace core {

/// Keeps others from using a file: a lock on another file, `<path>.lock`, which stays. It ends with this object, and
/// with the process.
class file_lock {
 public:
  /// Throws file_error if another object has the lock, in this process or in another one, and if it can't be locked.
  explicit file_lock(std::filesystem::path const& path) {
    auto const name = path.string() + ".lock";
    descriptor_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    expects_file(descriptor_ >= 0, name, "can't be opened: ", std::strerror(errno));
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return;
    int const reason = errno;
    ::close(descriptor_);
    expects_file(reason != EWOULDBLOCK, path, "is used by another process, or twice by this one");
    raise<file_error>(name, ": can't be locked: ", std::strerror(reason));
  }
  file_lock(file_lock const&) = delete;
  file_lock& operator=(file_lock const&) = delete;
  ~file_lock() { ::close(descriptor_); }

 private:
  int descriptor_;
};

/// A file to which records are appended. One thread uses it at a time.
class append_file {
 public:
  /// Opens a file, or creates it; a new file's name is on the disk when the constructor returns. Throws file_error.
  explicit append_file(std::filesystem::path path) : path_(std::move(path)) {
    bool const is_new = !std::filesystem::exists(path_);
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    expects_file(descriptor_ >= 0, path_, "can't be opened for writing: ", std::strerror(errno));
    bytes_ = ::lseek(descriptor_, 0, SEEK_END);
    if (is_new) sync_name(path_);
  }
  append_file(append_file const&) = delete;
  append_file& operator=(append_file const&) = delete;
  ~append_file() { ::close(descriptor_); }

  /// Appends a record and syncs the file. Throws file_error when that fails; the record is removed then. If even that
  /// fails, what the disk has is unknown, and all later calls throw.
  void append(std::string_view record) {
    expects_file(!broken_, path_, "can't be written since an earlier error; it has to be read again");
    try {
      write(record);
    } catch (...) {
      broken_ = ::ftruncate(descriptor_, static_cast<::off_t>(bytes_)) != 0 || ::fsync(descriptor_) != 0;
      throw;
    }
    bytes_ += std::ssize(record);
  }
  /// Removes what follows so many bytes, and syncs the file. Throws file_error; if it is cut but can't be synced, what
  /// the disk has is unknown, and all later calls of append() throw.
  void cut(index_t bytes) {
    bool const is_cut = ::ftruncate(descriptor_, static_cast<::off_t>(bytes)) == 0;
    expects_file(is_cut, path_, "can't be cut: ", std::strerror(errno));
    bool const was_broken = std::exchange(broken_, true), is_synced = ::fsync(descriptor_) == 0;
    expects_file(is_synced, path_, "is cut, but can't be synced to the disk: ", std::strerror(errno));
    broken_ = was_broken;
    bytes_ = bytes;
  }
  /// Whether what the disk has is unknown, and append() can't succeed any more.
  [[nodiscard]] bool has_failed() const { return broken_; }
  /// The size of the file, which is the position of the next record.
  [[nodiscard]] index_t bytes() const { return bytes_; }

 private:
  void write(std::string_view data) const {
    detail::write_all(descriptor_, path_, data.data(), data.size());
    bool const is_synced = ::fdatasync(descriptor_) == 0;
    expects_file(is_synced, path_, "can't be synced to the disk: ", std::strerror(errno));
  }

  std::filesystem::path path_;
  int descriptor_ = -1;
  index_t bytes_ = 0;
  bool broken_ = false;
};

}  // namespace core
}  // namespace mql4grec
