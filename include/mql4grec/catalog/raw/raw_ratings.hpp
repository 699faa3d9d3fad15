#pragma once
// Who rated what and when, read from the files that public data sets are published in. The format is recognized by the
// first line, so a file may have any name. Needs zlib and simdjson.
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "mql4grec/catalog/raw/line_reader.hpp"
#include "mql4grec/catalog/raw/rating_table.hpp"

namespace mql4grec::catalog {

/// The formats of raw files.
enum class raw_format {
  automatic,   ///< recognized by the first line
  amazon2018,  ///< `item,user,rating,time` without a header, or reviews as JSON lines (`reviewerID`, `asin`); with the
               ///< user first in the files of 2014, recognized by the shape of the ids
  amazon2023,  ///< the official CSV with the header `user_id,parent_asin,…`, or reviews as JSON lines (`parent_asin`)
  movielens,   ///< `ratings.csv` with the header `userId,movieId,…`, or `ratings.dat` separated by `::`
  recbole,     ///< an atomic file `.inter`, whose tab-separated header gives types: `user_id:token`
  csv          ///< any file with a header; separated by commas, semicolons or tabs
};

/// The name of a format on the command line: "auto", "amazon2018", ….
[[nodiscard]] std::string name_of(raw_format format);
/// The format with this name. Throws error for an unknown one.
[[nodiscard]] raw_format raw_format_of(std::string_view name);

/// The columns of a CSV file by their names in the header. An empty name means the usual ones, such as `user_id`.
struct column_names {
  std::string user = {}, item = {}, time = {};  ///< the three names
  /// Whether the file has no column of times: its lines are in chronological order then.
  bool without_time = false;
};

/// How ratings are read.
struct ratings_options {
  raw_format format = raw_format::automatic;  ///< any other than this and csv is checked
  column_names columns = {};                  ///< of CSV files
  read_options reading = {};                  ///< limits and progress
};

/// What was read from a file, kept beside the data so that it can be checked where the data came from.
struct raw_source {
  std::filesystem::path path = {};  ///< as it was given
  std::string layout = {};          ///< in words: "amazon2018, CSV item,user,rating,time"
  index_t bytes = 0;                ///< as stored
  index_t lines = 0;                ///< in the file
  index_t records = 0;              ///< ratings or items in the file, duplicates included
  std::string sha256 = {};          ///< of the file as stored
};

/// Calls `visit` for each rating, in the order of the file. Throws file_error with the line for a record that lacks a
/// user, an item or a time, for ids with control characters, of more than 1,024 bytes or not in UTF-8, for a file
/// without ratings, and when the file has another format than the options say.
raw_source read_raw_ratings(std::filesystem::path const& path, ratings_options const& options,
                            std::function<void(raw_rating const&)> const& visit);

/// A time as a number: decimal, or a date in ISO 8601 (`2018-05-03`, `2018-05-03T12:30:00.5+02:00`, with a space for
/// the T; UTC unless an offset is given) as seconds since 1970. Returns nothing for any other text.
[[nodiscard]] std::optional<double> parse_time(std::string_view text);

}  // namespace mql4grec::catalog

#if !MQL4GREC_COMPILED
#include "mql4grec/catalog/raw/raw_ratings.inl.hpp"
#endif
