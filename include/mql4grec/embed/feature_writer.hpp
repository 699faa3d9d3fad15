#pragma once
// Writes features that take hours to compute: an interrupted file is continued where it stopped.
#include <filesystem>
#include <string>

#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/view.hpp"

namespace mql4grec::embed {

/// The shape of the features of a catalog.
struct feature_shape {
  index_t rows = 0;   ///< items
  index_t width = 0;  ///< columns

  bool operator==(feature_shape const&) const = default;
};

/// Whether an interrupted file is continued.
enum class feature_run {
  begin,  ///< a new file. An interrupted one is an error, so that nothing is lost
  resume  ///< continue the interrupted file, if there is one
};

/// Writes a .npy file of float32 block by block. Until commit() the rows are in `<path>.rows`, and
/// `<path>.state.json` contains the number of complete rows and a description of their inputs. Both are on the disk
/// when append() returns. The name isn't `<path>.partial`, which atomic_file removes. A file `path` of an earlier run
/// stays as it is until commit() replaces it.
class feature_writer {
 public:
  /// Opens the unfinished file. `inputs` is an object with a member for everything that the features depend on. Throws
  /// file_error if it can't be written; if it exists and `how` is feature_run::begin; and if the interrupted run had
  /// another shape or other inputs, with the names of those that differ.
  feature_writer(std::filesystem::path path, feature_shape shape, json const& inputs, feature_run how);
  feature_writer(feature_writer const&) = delete;
  feature_writer& operator=(feature_writer const&) = delete;
  /// Keeps the unfinished file if it has rows.
  ~feature_writer();

  /// The number of rows that are complete, those of earlier runs included.
  [[nodiscard]] index_t done() const { return done_; }
  /// Writes the next rows, (count, width), contiguous. Throws error for another width or too many rows, file_error if
  /// they can't be written; the rows before them remain.
  void append(host_matrix_view<float const> rows);
  /// Moves the file to its name. Throws error if rows are missing, file_error if it can't be written.
  void commit();

 private:
  void open(feature_run how);
  void read_state();
  index_t bytes_of(index_t rows) const;  // of the file with so many rows
  bool is_in_place() const;              // an earlier commit() was killed after it had moved the file
  void write_state() const;
  void write_at(index_t begin, void const* data, index_t bytes) const;

  std::filesystem::path path_, unfinished_, state_;
  feature_shape shape_;
  std::string inputs_;  // as JSON: json is incomplete in this header
  std::string prefix_;  // the header of the .npy file
  index_t done_ = 0;
  int descriptor_ = -1;
};

}  // namespace mql4grec::embed

#if !MQL4GREC_COMPILED
#include "mql4grec/embed/feature_writer.inl.hpp"
#endif
