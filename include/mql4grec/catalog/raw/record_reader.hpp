#pragma once
// The records of files whose fields are separated: CSV, RecBole's atomic files, MovieLens' .dat files.
#include <string>
#include <string_view>
#include <vector>

#include "mql4grec/catalog/raw/line_reader.hpp"

namespace mql4grec::catalog {

/// Whether quotation marks enclose fields.
enum class quoting {
  none,     ///< a quotation mark is a character like any other
  rfc_4180  ///< a field that begins with `"` ends at the next single `"`; `""` stands for one
};

/// How the fields of a record are separated.
struct record_format {
  std::string separator = ",";         ///< one character, or several as the "::" of MovieLens; not empty
  quoting quotes = quoting::rfc_4180;  ///< whether quotation marks enclose fields
  bool operator==(record_format const&) const = default;
};

/// Reads a file record by record. Empty lines are passed over. With quoting, a record may span several lines.
class record_reader {
 public:
  /// Reads the rest of `lines`, which must outlive the reader.
  record_reader(line_reader& lines, record_format format);

  /// Moves to the next record and returns its fields, at least one; empty at the end of the file. The fields are valid
  /// until the next call. Throws file_error for a quotation mark that isn't closed, text between a closing mark and a
  /// separator, a record longer than read_options::max_line, or more than 10,000 fields.
  [[nodiscard]] std::vector<std::string_view> const& next();

 private:
  void split_plain(std::string_view line);
  void split_quoted(std::string_view line);

  line_reader& lines_;
  record_format format_;
  std::string record_, unquoted_;
  std::vector<std::string_view> fields_;
};

}  // namespace mql4grec::catalog

#if !MQL4GREC_COMPILED
#include "mql4grec/catalog/raw/record_reader.inl.hpp"
#endif
