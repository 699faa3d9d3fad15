#pragma once
// A table of results on disk: a CSV file with a row per configuration, and a JSON file that says what the table asks,
// how it was computed and how it is drawn. A row that exists is never computed again.
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "mql4grec/core/json_fwd.hpp"

namespace mql4grec::experiments {

/// The measurements of a row, by column. A column without an entry is not measured.
using measurements = std::map<std::string, double>;

/// A row: the values of the key columns, and what was measured.
struct table_row {
  std::vector<std::string> key;
  measurements values;
};

/// A picture of a table; page.py draws it.
struct plot {
  std::string kind = "line";  ///< line, bar, scatter or heatmap
  std::string title;
  std::string x, y;         ///< columns
  std::string series = {};  ///< a key column: one line or colour for each of its values
  bool log_x = false;
  std::string row = {}, value = {};  ///< of a heatmap: the column down, and the one that is coloured
};

/// What a table asks and contains.
struct table_description {
  std::string name;  ///< of its files, and on the command line
  std::string title;
  std::string question;  ///< one sentence
  std::vector<std::string> keys;
  std::vector<std::string> measured;  ///< columns of measurements
  std::vector<plot> plots = {};
  /// What the rows say, in a sentence or two; empty while they say nothing.
  std::function<std::string(std::vector<table_row> const&)> reading = nullptr;
};

/// The table in a directory.
class table {
 public:
  /// Reads the rows that exist. Throws file_error if the file is damaged or has other columns.
  table(std::filesystem::path directory, table_description about);

  /// What the table asks.
  table_description const& about() const { return about_; }
  /// The rows, in the order in which they were added.
  std::vector<table_row> const& rows() const { return rows_; }
  /// The row of a key, or null.
  table_row const* find(std::vector<std::string> const& key) const;

  /// The time that the rows took, as described before; 0 for a new table. Throws file_error.
  double seconds() const;

  /// Whether the JSON file counts as many rows as there are. Throws file_error.
  bool described() const;

  /// Adds a row and writes the file. Throws error for a measurement that isn't a column, and file_error.
  void add(table_row row);
  /// Writes the JSON file: the description with `facts` (command, dataset, machine, date, planned rows). Throws
  /// file_error.
  void describe(json const& facts) const;

 private:
  void write() const;

  std::filesystem::path directory_;
  table_description about_;
  std::vector<table_row> rows_;
};

}  // namespace mql4grec::experiments
