#pragma once
// numpy's .npy files that contain a matrix of floats. Rows are read in blocks and written one block after another:
// neither side needs memory for the whole matrix.
#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "mql4grec/core/detail/npy_header.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/view.hpp"

namespace mql4grec {
inline namespace core {

/// A .npy file (format 1.0, 2.0 or 3.0) that contains a (rows, columns) array of float32, float16 or float64. The
/// constructor checks the header and the file's size, and throws file_error for any other content. Entries are read on
/// demand, as floats. const members may be called from many threads.
class npy_file {
 public:
  /// Opens and checks the file. Throws file_error.
  explicit npy_file(std::filesystem::path path) : file_(std::move(path)), header_(detail::read_npy_header(file_)) {}

  /// The path that the file was opened with.
  std::filesystem::path const& path() const { return file_.path(); }
  /// The number of rows; may be 0.
  index_t rows() const { return header_.rows; }
  /// The number of columns, at least 1.
  index_t columns() const { return header_.columns; }
  /// The type of the file's entries: f32, f16, or f64 (rounded when read).
  dtype type() const { return header_.type; }

  /// Reads the rows first … first + out.rows() − 1. Throws error for rows or a width outside the file's, file_error
  /// when the file has become shorter or a float64 exceeds the range of float.
  void read(index_t first, host_matrix_view<float> out) const {
    check_width(out);
    expects(first >= 0 && out.rows() <= rows() && first <= rows() - out.rows(), path().string(), ": ", out.rows(),
            " rows from row ", first, " of ", rows());
    read_rows(first, out);
  }
  /// Reads rows in any order. Runs of consecutive rows are read in one call. Throws as read().
  void gather(std::span<index_t const> wanted, host_matrix_view<float> out) const {
    check_width(out);
    expects(std::ssize(wanted) == out.rows(), path().string(), ": ", wanted.size(), " rows into a place for ",
            out.rows());
    auto const bad = std::ranges::find_if(wanted, [&](index_t row) { return row < 0 || row >= rows(); });
    if (bad != wanted.end()) raise(path().string(), ": row ", *bad, " of ", rows());
    for (index_t i = 0, run = 0; i < out.rows(); i += run) {
      auto const* const begin = wanted.data() + i;
      for (run = 1; i + run < out.rows() && begin[run] == begin[0] + run;) ++run;
      read_rows(*begin, out.row_block(i, run));
    }
  }

 private:
  void check_width(host_matrix_view<float> out) const {
    expects(out.columns() == columns(), path().string(), ": rows of ", columns(), " entries into rows of ",
            out.columns());
  }
  void read_rows(index_t first, host_matrix_view<float> out) const {
    if (out.contiguous()) return read_entries(first * columns(), out.flat());
    for (index_t i = 0; i < out.rows(); ++i) read_entries((first + i) * columns(), out.row(i));
  }
  void read_entries(index_t first, host_vector_view<float> out) const {
    if (type() == dtype::f16) return read_converted<detail::half>(first, out);
    if (type() == dtype::f64) return read_converted<double>(first, out);
    constexpr index_t bytes = sizeof(float);
    file_.read(header_.begin + first * bytes, out.data, out.size() * bytes);
  }
  template <class From>
  void read_converted(index_t first, host_vector_view<float> out) const {
    constexpr index_t bytes = sizeof(From), most = (index_t{32} << 10) / bytes;  // a piece stays in the nearest cache
    std::array<From, most> piece;
    for (index_t done = 0; done < out.size(); done += most) {
      index_t const count = std::min(most, out.size() - done);
      file_.read(header_.begin + (first + done) * bytes, piece.data(), count * bytes);
      convert(first + done, host_vector_view<From const>(piece.data(), count), out.part(done, count));
    }
  }
  void convert(index_t, host_vector_view<detail::half const> from, host_vector_view<float> out) const {
    detail::widen(from, out);
  }
  void convert(index_t first, host_vector_view<double const> from, host_vector_view<float> out) const {
    for (index_t i = 0; i < from.size(); ++i)
      if (!detail::convert(from(i), out(i))) [[unlikely]]
        raise<file_error>(path().string(), ": row ", (first + i) / columns(), ", column ", (first + i) % columns(),
                          ": ", from(i), " is beyond every float");
  }

  detail::input_file file_;
  detail::npy_header header_;
};

/// Writes a .npy file of float32, block by block. The file appears under its name with commit(), complete; without
/// commit() nothing remains. The bytes are those of numpy.save.
class npy_writer {
 public:
  /// Throws error when the shape is one that npy_file rejects, file_error when the file can't be written.
  npy_writer(std::filesystem::path path, index_t rows, index_t columns)
      : path_(std::move(path)), rows_(rows), columns_(checked(path_, rows, columns)), file_(path_) {
    file_.write(detail::npy_prefix(rows, columns));
  }

  /// Writes the next rows. Throws error when their width differs or when there are more rows than announced.
  void append(host_matrix_view<float const> block) {
    expects(block.columns() == columns_, path_.string(), ": rows of ", block.columns(), " entries, expected ",
            columns_);
    expects(block.rows() <= rows_ - written_, path_.string(), ": ", block.rows(), " rows after ", written_,
            ", expected ", rows_, " altogether");
    expects(!std::exchange(torn_, true), path_.string(), ": a write has failed before, nothing can follow it");
    if (block.contiguous())
      write(block.flat());
    else
      for (index_t i = 0; i < block.rows(); ++i) write(block.row(i));
    written_ += block.rows();
    torn_ = false;
  }
  /// Completes the file. Throws error when there are fewer rows than announced, file_error when it can't be written.
  void commit() {
    expects(written_ == rows_ && !torn_, path_.string(), ": ", written_, " rows, expected ", rows_);
    file_.commit();
  }

 private:
  static index_t checked(std::filesystem::path const& path, index_t rows, index_t columns) {
    bool const width = columns >= 1 && columns <= detail::most_npy_columns;
    index_t bytes = 0;
    bool const fits = rows >= 0 && width && !__builtin_mul_overflow(rows, columns * index_t{sizeof(float)}, &bytes);
    expects(fits, path.string(), ": shape [", rows, ", ", columns, "], expected 1 to ", detail::most_npy_columns,
            " columns, and rows that fit into a file");
    return columns;
  }
  void write(host_vector_view<float const> entries) {
    file_.write(entries.data, to_size(entries.size()) * sizeof(float));
  }

  std::filesystem::path path_;
  index_t rows_, columns_, written_ = 0;
  bool torn_ = false;  // a block whose write failed may be partly in the file
  atomic_file file_;
};

/// Writes a matrix as a .npy file, atomically; the bytes are those of numpy.save. Throws file_error.
inline void write_npy(std::filesystem::path const& path, host_matrix_view<float const> matrix) {
  npy_writer file(path, matrix.rows(), matrix.columns());
  file.append(matrix);
  file.commit();
}

}  // namespace core
}  // namespace mql4grec
