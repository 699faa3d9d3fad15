#pragma once
// Reads and writes whole files. Writing is atomic: a file appears under its name only when it is complete and synced to
// the disk.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace core {

/// The whole content of a file. Throws file_error with the system's reason.
inline std::string read_file(std::filesystem::path const& path) {
  expects_file(!std::filesystem::is_directory(path), path, "is a directory, expected a file");
  std::ifstream in(path, std::ios::binary);
  expects_file(in.good(), path, "can't be opened for reading: ", std::strerror(errno));
  std::error_code no_size;  // of a pipe
  auto const size = std::filesystem::file_size(path, no_size);
  std::string content;
  for (std::size_t piece = no_size ? 0 : size; in.good(); piece = 0) {
    auto const end = content.size(), room = piece + (1 << 16);  // more than the size: the end is met at once
    content.resize(end + room);
    in.read(content.data() + end, static_cast<std::streamsize>(room));
    content.resize(end + to_size(in.gcount()));
  }
  expects_file(!in.bad(), path, "can't be read: ", std::strerror(errno));
  return content;
}

/// The same without the UTF-8 byte-order mark that some editors write at the beginning.
inline std::string read_text(std::filesystem::path const& path) {
  auto text = read_file(path);
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
  return text;
}

/// Creates a directory and its parents. Throws file_error when that isn't possible or a file of this name exists.
inline void make_directory(std::filesystem::path const& path) {
  std::error_code code;
  std::filesystem::create_directories(path, code);
  expects_file(!code && std::filesystem::is_directory(path), path,
               "can't be made a directory: ", code ? code.message() : std::string("a file of this name exists"));
}

/// Makes the name of a file that was created or renamed survive a power failure, as far as the system can.
inline void sync_name(std::filesystem::path const& path) {
  auto const parent = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  int const directory = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;
  ::fsync(directory);
  ::close(directory);
}

namespace detail {
/// Writes all bytes to an open file; `path` is its name in messages. Throws file_error.
inline void write_all(int descriptor, std::filesystem::path const& path, void const* data, std::size_t bytes) {
  auto const* next = static_cast<char const*>(data);
  while (bytes > 0) {
    ::ssize_t const written = ::write(descriptor, next, bytes);
    if (written < 0 && errno == EINTR) continue;
    expects_file(written > 0, path, "can't be written: ", std::strerror(errno));
    next += written;
    bytes -= static_cast<std::size_t>(written);
  }
}
}  // namespace detail

/// Writes a file under a temporary name (`<path>.partial`) in the same directory; commit() syncs it and renames it to
/// its final name. Without commit() nothing remains. A file has one writer at a time, in all processes. Every failure
/// (a full disk, missing permission) throws file_error.
class atomic_file {
 public:
  /// Creates the temporary file.
  explicit atomic_file(std::filesystem::path path) : path_(std::move(path)), temporary_(path_.string() + ".partial") {
    while (!open()) {
    }
  }
  atomic_file(atomic_file const&) = delete;
  atomic_file& operator=(atomic_file const&) = delete;
  ~atomic_file() {
    if (descriptor_ < 0) return;
    ::unlink(temporary_.c_str());  // before the lock ends
    ::close(descriptor_);
  }

  /// Appends bytes.
  void write(void const* data, std::size_t bytes) { detail::write_all(descriptor_, path_, data, bytes); }
  /// Appends a text.
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Replaces bytes that have been written before, for example a header that is known at the end only.
  void write_at(index_t position, void const* data, std::size_t bytes) {
    auto const* next = static_cast<char const*>(data);
    while (bytes > 0) {
      ::ssize_t const written = ::pwrite(descriptor_, next, bytes, position);
      if (written < 0 && errno == EINTR) continue;
      expects_file(written > 0, path_, "can't be written: ", std::strerror(errno));
      next += written;
      position += written;
      bytes -= static_cast<std::size_t>(written);
    }
  }

  /// Syncs the file and moves it to its final name, replacing a previous file. Call it once, as the last member.
  void commit() {
    bool const is_synced = ::fsync(descriptor_) == 0;
    expects_file(is_synced, path_, "can't be synced to the disk: ", std::strerror(errno));
    if (::rename(temporary_.c_str(), path_.c_str()) != 0)  // with the lock, so that it is this file
      raise<file_error>(path_.string(), ": can't be put in place: ", std::strerror(errno));
    ::close(std::exchange(descriptor_, -1));
    sync_name(path_);
  }

 private:
  /// Opens the temporary file, which nobody else writes. Returns false if another process has renamed or removed it
  /// meanwhile.
  bool open() {
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    expects_file(descriptor_ >= 0, path_, "can't be opened for writing: ", std::strerror(errno));
    auto const failed = [&](auto const&... what) {
      ::close(std::exchange(descriptor_, -1));
      raise<file_error>(path_.string(), ": ", what...);
    };
    // File systems without locks can't keep two writers apart.
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
      failed("is being written by another process, or twice by this one");
    struct ::stat mine {
    }, named{};
    bool const is_mine = ::fstat(descriptor_, &mine) == 0 && ::stat(temporary_.c_str(), &named) == 0 &&
                         mine.st_dev == named.st_dev && mine.st_ino == named.st_ino;
    if (!is_mine) {
      ::close(std::exchange(descriptor_, -1));
      return false;
    }
    if (S_ISREG(mine.st_mode) && ::ftruncate(descriptor_, 0) != 0)
      failed("can't be opened for writing: ", std::strerror(errno));
    return true;
  }

  std::filesystem::path path_;
  std::string temporary_;
  int descriptor_ = -1;
};

/// Writes a whole file atomically. Throws file_error.
inline void write_file(std::filesystem::path const& path, std::string_view content) {
  atomic_file file(path);
  file.write(content);
  file.commit();
}

}  // namespace core
}  // namespace mql4grec
