#pragma once
// The images of items as rows of a matrix. One image that can't be read is reported, and the others go on.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "mql4grec/backend/cpu/runtime/thread_pool.hpp"
#include "mql4grec/core/view.hpp"
#include "mql4grec/embed/image/decode.hpp"
#include "mql4grec/embed/image/preprocess.hpp"

namespace mql4grec::embed {

/// What became of the image of a row.
enum class image_status {
  read,     ///< the row has its pixels
  missing,  ///< the item has no image: the row is zero
  bad,      ///< the image can't be read: the row is zero
};

/// An image that can't be read.
struct bad_image {
  index_t row = 0;      ///< its row
  std::string message;  ///< one line, which begins with its path
};

/// What read_images read.
struct image_report {
  std::vector<image_status> rows;  ///< one per row. Features of rows that aren't read have to be zero too.
  std::vector<bad_image> bad;      ///< in the order of the rows

  /// The number of rows with this status.
  index_t count(image_status status) const { return std::ranges::count(rows, status); }
};

/// How images are read.
struct image_reading {
  image_preprocessing preprocessing = {};  ///< from pixels to rows
  image_limits limits = {};                ///< of each file
  bool strict = false;                     ///< throw the error of the first bad image instead of reporting it
};

namespace detail {

/// Images that several threads read to the rows of a matrix. Each takes the next image when it has finished one.
class image_rows {
 public:
  image_rows(std::span<std::filesystem::path const> paths, image_reading const& how, host_matrix_view<float> out)
      : paths_(paths), how_(how), out_(out), status_(paths.size(), image_status::missing), messages_(paths.size()) {
    expects(out.rows() == size() && out.columns() == how.preprocessing.values(), "images: ", size(), " of ",
            how.preprocessing.values(), " values into a place for ", out.rows(), " of ", out.columns());
  }

  /// Reads images until none is left. Runs in several threads at once.
  void work() {
    for (index_t i; (i = next_++) < size();) {
      read(i);
      if (how_.strict && status_[to_size(i)] == image_status::bad) next_ = size();  // rows before i are taken already
    }
  }

  /// After work() in all threads.
  image_report report() && {
    image_report report{.rows = std::move(status_), .bad = {}};
    for (index_t i = 0; i < size(); ++i) {
      if (report.rows[to_size(i)] != image_status::bad) continue;
      auto& message = messages_[to_size(i)];
      if (how_.strict) raise<file_error>(message);
      report.bad.push_back({i, std::move(message)});
    }
    return report;
  }

 private:
  index_t size() const { return std::ssize(paths_); }

  void read(index_t i) {
    auto const& path = paths_[to_size(i)];
    auto& status = status_[to_size(i)];
    auto const row = out_.row(i);
    if (!path.empty()) {
      try {
        preprocess_image(read_image(path, how_.limits), how_.preprocessing, row);
        status = image_status::read;
      } catch (error const& e) {
        auto& message = messages_[to_size(i)] = e.what();
        if (dynamic_cast<file_error const*>(&e) == nullptr) message = path.string() + ": " + message;
        status = image_status::bad;
      }
    }
    if (status != image_status::read) std::fill_n(row.data, row.size(), 0.f);
  }

  std::span<std::filesystem::path const> paths_;
  image_reading const& how_;
  host_matrix_view<float> out_;
  std::atomic<index_t> next_ = 0;
  std::vector<image_status> status_;
  std::vector<std::string> messages_;  // of bad images
};

}  // namespace detail

/// Reads image i to row i of `out`, (paths.size(), 3 · height · width). An empty path means that the item has no image.
/// Throws error for another shape of `out`; if `strict`, file_error for the first bad image.
inline image_report read_images(std::span<std::filesystem::path const> paths, image_reading const& how,
                                host_matrix_view<float> out) {
  detail::image_rows images(paths, how, out);
  images.work();
  return std::move(images).report();
}

/// The same on all threads of a pool. Pixels, report and error don't depend on their number.
///
///     auto const paths = catalog::match_images(directory, {items, raw_ids}).of_item;
///     cpu::thread_pool pool(threads);
///     auto const report = embed::read_images(pool, std::span(paths).subspan(first, count), how, pixels);
inline image_report read_images(cpu::thread_pool& pool, std::span<std::filesystem::path const> paths,
                                image_reading const& how, host_matrix_view<float> out) {
  detail::image_rows images(paths, how, out);
  pool.run([&](index_t) { images.work(); });
  return std::move(images).report();
}

}  // namespace mql4grec::embed
