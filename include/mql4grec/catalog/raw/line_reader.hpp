#pragma once
// The lines of a text file, compressed by gzip or not, in one pass with a fixed amount of memory. Needs zlib.
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::catalog {

/// How far a reader has come.
struct read_progress {
  index_t bytes = 0, size = 0;  ///< read so far, and of the whole file; as stored, so compressed bytes of a .gz file
  index_t lines = 0;            ///< read so far
};

/// Limits that protect against hostile files, and the observer of progress.
struct read_options {
  index_t max_line = index_t{16} << 20;  ///< bytes of a line, or of a CSV record that spans several lines
  /// A gzip file may become this many times longer than it is stored, besides its first 64 MiB. Text reaches about 20;
  /// gzip's maximum is 1032.
  index_t max_expansion = 200;
  /// Called after every block of the file that was read, about each MiB, and at its end.
  std::function<void(read_progress const&)> progress = {};
};

/// Reads a file line by line. Files that begin with gzip's magic number are decompressed, whatever their name is; so
/// are several members in a row. A UTF-8 byte-order mark is skipped. All errors are file_error and name the file and,
/// where there is one, the line.
class line_reader {
 public:
  /// Opens a regular file. Throws file_error for anything else, and for zip, zstd, bzip2, xz and UTF-16 files, which
  /// are recognized.
  explicit line_reader(std::filesystem::path path, read_options options = {});
  /// Moves the open file; `other` can only be destroyed.
  line_reader(line_reader&& other) noexcept;
  line_reader& operator=(line_reader&&) = delete;
  /// Closes the file.
  ~line_reader();

  /// Moves to the next line. Returns false at the end of the file. `line` has neither "\n" nor "\r\n" at its end; it is
  /// valid until the next call.
  [[nodiscard]] bool next(std::string_view& line);

  /// The number of the line that next() returned last, starting at 1.
  [[nodiscard]] index_t line() const;
  /// The path as it was given.
  [[nodiscard]] std::filesystem::path const& path() const;
  /// The options as they were given.
  [[nodiscard]] read_options const& options() const;
  /// The size of the file as it is stored.
  [[nodiscard]] index_t size() const;
  /// The SHA-256 of the file as it is stored: what `sha256sum` prints. Call it once, after next() has returned false.
  [[nodiscard]] std::string hash();

  /// Throws file_error with the path and the current line: "ratings.csv, line 7: expected …".
  [[noreturn]] void fail(std::string const& what) const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace mql4grec::catalog

#if !MQL4GREC_COMPILED
#include "mql4grec/catalog/raw/line_reader.inl.hpp"
#endif
