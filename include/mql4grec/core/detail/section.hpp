#pragma once
// Sections of large binary files: arrays that are written entry by entry with a checksum, in memory of a block.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "mql4grec/core/checksum.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace core {
namespace detail {

/// The checksum of a section is that of its blocks of so many bytes, one after another.
inline constexpr std::size_t section_block = std::size_t{1} << 20;

/// The first bytes of a file of sections: what it is, `Values` numbers, and the checksums of its sections.
template <std::size_t Values, std::size_t Sections>
struct section_header {
  std::array<char, 8> magic = {};
  std::uint32_t byte_order = 0x01020304;
  std::uint32_t version = 1;
  std::array<std::int64_t, Values> values = {};
  std::array<std::uint64_t, Sections> sums = {};
  std::uint64_t header_sum = 0;  // of everything above

  std::uint64_t right_sum() const {
    return checksum(std::as_bytes(std::span(this, 1)).first(offsetof(section_header, header_sum)));
  }
};
/// Where the first section begins.
inline constexpr index_t section_begin = 128;

/// The header of a file that begins with `bytes`; `expected` has its magic number and version, `what` is what the file
/// should contain. Its values remain to be checked.
template <class Header>
Header read_section_header(std::filesystem::path const& path, std::span<std::byte const> bytes, Header const& expected,
                           char const* what) {
  static_assert(sizeof(Header) <= section_begin && std::is_trivially_copyable_v<Header>);
  Header h;
  expects_file(std::ssize(bytes) >= section_begin, path, "has ", bytes.size(), " bytes, expected at least ",
               section_begin, ", the header of ", what);
  std::memcpy(&h, bytes.data(), sizeof h);
  expects_file(h.magic == expected.magic, path, "byte 0: expected '",
               std::string(expected.magic.data(), expected.magic.size()), "', the beginning of ", what);
  expects_file(h.byte_order == expected.byte_order, path,
               "byte 8: the byte order is that of another kind of machine; make the file here");
  expects_file(h.version == expected.version, path, "byte 12: version ", h.version, ", expected ", expected.version,
               "; make the file again");
  expects_file(h.header_sum == h.right_sum(), path, "byte 0: the header is damaged: its checksum differs");
  return h;
}

/// The checksum of a section in memory. Calls done(bytes) after each block.
template <class Done>
std::uint64_t section_checksum(std::span<std::byte const> bytes, Done&& done) {
  std::uint64_t sum = 0;
  for (std::size_t at = 0; at < bytes.size(); at += section_block) {
    auto const block = bytes.subspan(at, std::min(section_block, bytes.size() - at));
    sum = checksum(block, sum);
    done(block);
  }
  return sum;
}

/// Collects bytes to whole blocks, appends them to a file, and computes their checksum. The file must outlive it.
template <class File>
class block_writer {
 public:
  explicit block_writer(File& file) : file_(file) { block_.reserve(section_block); }

  /// Appends entries.
  template <class T>
  void append(std::span<T const> entries) {
    static_assert(std::is_trivially_copyable_v<T>);
    auto bytes = std::as_bytes(entries);
    while (!bytes.empty()) {
      auto const n = std::min(section_block - block_.size(), bytes.size());
      block_.insert(block_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
      bytes = bytes.subspan(n);
      if (block_.size() == section_block) flush();
    }
  }
  /// Writes what is left. Call it once, after the last entry.
  void finish() {
    if (!block_.empty()) flush();
  }
  /// The bytes and the checksum of everything that has been written.
  index_t bytes() const { return bytes_; }
  std::uint64_t sum() const { return sum_; }

 private:
  void flush() {
    sum_ = checksum(block_, sum_);
    file_.write(block_.data(), block_.size());
    bytes_ += std::ssize(block_);
    block_.clear();
  }

  File& file_;
  std::vector<std::byte> block_;
  std::uint64_t sum_ = 0;
  index_t bytes_ = 0;
};

/// A file without a name beside `path`, for a section that is written while an earlier one grows. It is gone when the
/// process ends, in whatever way.
class spool_file {
 public:
  explicit spool_file(std::filesystem::path path) : path_(std::move(path)) {
    auto name = path_.string() + ".spool.partial.XXXXXX";  // another one in each process
    descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
    expects_file(descriptor_ >= 0, path_, "can't be opened for writing: ", std::strerror(errno));
    ::unlink(name.c_str());
  }
  spool_file(spool_file const&) = delete;
  spool_file& operator=(spool_file const&) = delete;
  ~spool_file() { ::close(descriptor_); }

  void write(void const* data, std::size_t bytes) {
    write_all(descriptor_, path_, data, bytes);
    size_ += static_cast<index_t>(bytes);
  }
  /// Reads `bytes` bytes from a position, which must have been written.
  void read(index_t begin, void* data, index_t bytes) const {
    auto* next = static_cast<char*>(data);
    while (bytes > 0) {
      ::ssize_t const got = ::pread(descriptor_, next, to_size(bytes), begin);
      if (got < 0 && errno == EINTR) continue;
      expects_file(got > 0, path_, "can't be read back: ", got < 0 ? std::strerror(errno) : "it ends too early");
      next += got;
      begin += got;
      bytes -= got;
    }
  }
  /// Appends everything to a file.
  void append_to(atomic_file& to) const {
    std::vector<std::byte> block(section_block);
    for (index_t at = 0; at < size_;) {
      auto const n = std::min<index_t>(size_ - at, std::ssize(block));
      read(at, block.data(), n);
      to.write(block.data(), to_size(n));
      at += n;
    }
  }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  index_t size_ = 0;
};

}  // namespace detail
}  // namespace core
}  // namespace mql4grec
