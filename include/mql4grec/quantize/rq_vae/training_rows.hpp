#pragma once
// The rows of a training batch in the memory that a backend's kernels read. On a device, all features are copied to the
// device if they fit. Otherwise a thread of the host reads the next batch while the device computes.
#include <algorithm>
#include <array>
#include <future>
#include <span>
#include <utility>
#include <vector>

#include "mql4grec/backend/contract/buffer.hpp"
#include "mql4grec/quantize/feature_stream.hpp"

namespace mql4grec::quantize {

/// Host backends: batches are read on demand into one buffer. Backend and features must outlive this object.
template <Backend B, embed::FeatureSource F>
class training_rows {
 public:
  /// For batches of at most `batch` rows. device_bytes is ignored.
  training_rows(B&, F const& features, index_t batch, index_t /*device_bytes*/)
      : features_(features), memory_(batch * features.width()) {}

  /// The rows `rows` as x (n, width), valid until the next call. `next_rows` are the rows of the next call, or empty.
  in_matrix<B, float> take(B&, std::span<index_t const> rows, std::span<index_t const> /*next_rows*/) {
    host_matrix_view<float> const x{memory_.view_all().data, std::ssize(rows), features_.width()};
    features_.gather(rows, x);
    return x;
  }

 private:
  F const& features_;
  buffer<float, host_space> memory_;  // (batch, width)
};

/// The operations that training_rows requires from a device backend.
template <class B>
concept GatherRowsOps = UploadBufferOps<B> &&
    requires(B& b, in_matrix<B, float> from, in_vector<B, index_t> which, out_matrix<B, float> to,
             host_vector_view<index_t const> rows, out_vector<B, index_t> to_rows) {
  upload<index_t>(b, rows, to_rows);
  gather_rows<float>(b, from, which, to);
};

/// Device backends. Backend and features must outlive this object.
template <Backend B, embed::FeatureSource F>
  requires(!std::same_as<typename B::memory_space, host_space>)
class training_rows<B, F> {
  static_assert(GatherRowsOps<B>, "this backend has no gather_rows; add it in backend/<name>/gather_rows.hpp");

 public:
  /// For batches of at most `batch` rows. Features of at most device_bytes bytes are copied to the device at once.
  training_rows(B& b, F const& features, index_t batch, index_t device_bytes)
      : features_(features),
        fits_(features.rows() * features.width() * static_cast<index_t>(sizeof(float)) <= device_bytes),
        batch_(b.template allocate<float>(batch * features.width())),
        ahead_{upload_memory(b, fits_ ? 0 : batch * features.width()),
               upload_memory(b, fits_ ? 0 : batch * features.width())} {
    if (!fits_) return;
    index_t const width = features.width();
    all_ = b.template allocate<float>(features.rows() * width);
    which_ = b.template allocate<index_t>(batch);
    detail::for_each_feature_block(b, features, detail::feature_rows_at_once<B>(width),
                                   [&](B& worker, index_t, index_t first, in_matrix<B, float> x) {
                                     copy<float>(worker, x.flat(), all_.view_all().part(first * width, x.size()));
                                   });
    b.synchronize();  // before the stream's memory is freed
  }

  /// The rows `rows` as x (n, width), valid until the next call. `next_rows` must be the rows of the next call, or
  /// empty: when the features aren't on the device, they are read in the background, and the next call's `rows` is not
  /// checked against them.
  in_matrix<B, float> take(B& b, std::span<index_t const> rows, std::span<index_t const> next_rows) {
    out_matrix<B, float> const x(batch_.view_all().data, std::ssize(rows), features_.width());
    if (fits_) {
      auto const which = which_.view_all().part(0, std::ssize(rows));
      upload<index_t>(b, view_of(rows), which);
      gather_rows<float>(b, {std::as_const(all_).view_all().data, features_.rows(), features_.width()}, which, x);
    } else {
      if (reading_.valid() && !std::ranges::equal(reading_rows_, rows)) reading_.get();  // other rows than announced
      if (!reading_.valid()) read(rows);
      reading_.get();
      ahead_[at_].upload(b, x.flat());
      at_ = 1 - at_;
      if (!next_rows.empty()) read(next_rows);
    }
    return x;
  }

 private:
  using upload_memory = upload_buffer<B, float>;

  void read(std::span<index_t const> rows) {
    host_matrix_view<float> const place(ahead_[at_].values().data, std::ssize(rows), features_.width());
    reading_rows_.assign(rows.begin(), rows.end());
    reading_ =
        std::async(std::launch::async, [&features = features_, rows = std::vector<index_t>(rows.begin(), rows.end()),
                                        place] { features.gather(rows, place); });
  }

  F const& features_;
  bool fits_;                                        // whether all features are on the device
  buffer<float, typename B::memory_space> batch_;    // (batch, width)
  buffer<float, typename B::memory_space> all_;      // (rows, width), or empty
  buffer<index_t, typename B::memory_space> which_;  // (batch)
  std::array<upload_memory, 2> ahead_;               // when features aren't on the device: one batch each
  std::size_t at_ = 0;                               // the next buffer to be read into
  std::vector<index_t> reading_rows_;                // the rows that reading_ reads
  std::future<void> reading_;  // last member: destroyed first, and its destructor waits for the reader
};

}  // namespace mql4grec::quantize
