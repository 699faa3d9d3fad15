#pragma once
// All features in order, in blocks of rows, in the memory that a backend's kernels read. On a device, a thread of the
// host reads the next block while the device computes.
#include <algorithm>
#include <array>
#include <future>
#include <span>
#include <vector>

#include "mql4grec/backend/contract/row_blocks.hpp"
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/embed/features.hpp"

namespace mql4grec::quantize {

/// The operations that a feature stream requires from a backend with device memory.
template <class B>
concept UploadBufferOps = Backend<B> &&
    requires(B& b, index_t n, out_vector<B, float> to, upload_buffer<B, float>& memory) {
  upload_buffer<B, float>(b, n);
  { memory.values() } -> std::same_as<host_vector_view<float>>;  // written by the host, not during an upload
  memory.upload(b, to);                                          // in the order of the backend's work
};

/// Blocks of features in device memory. Worker and features must outlive the stream. The destructor waits for a block
/// that is being read.
template <Backend B, embed::FeatureSource F>
class feature_stream {
  static_assert(UploadBufferOps<B>, "this backend has no upload_buffer; add it in backend/<name>/upload_buffer.hpp");

 public:
  /// Starts to read the first block.
  feature_stream(B& worker, F const& features, index_t block)
      : worker_(worker),
        features_(features),
        block_(std::min(block, features.rows())),
        memory_{upload_memory(worker, block_ * features.width()),
                upload_memory(worker, block_ < features.rows() ? block_ * features.width() : 0)},
        given_(worker.template allocate<float>(block_ * features.width())) {
    read_ahead();
  }
  feature_stream(feature_stream const&) = delete;
  feature_stream& operator=(feature_stream const&) = delete;

  /// The next rows (count, width), which overwrite the previous ones; an empty view after the last block. Rethrows the
  /// exception of a failed read; the stream has no more blocks then.
  in_matrix<B, float> next() {
    if (!reading_.valid()) return {};
    index_t const count = reading_.get();
    out_matrix<B, float> const x(given_.view_all().data, count, features_.width());
    memory_[at_].upload(worker_, x.flat());
    at_ = 1 - at_;
    read_ahead();
    return x;
  }

 private:
  using upload_memory = upload_buffer<B, float>;

  void read_ahead() {
    index_t const first = begun_, count = std::min(block_, features_.rows() - first);
    if (count == 0) return;
    begun_ += count;
    host_matrix_view<float> const rows(memory_[at_].values().data, count, features_.width());
    reading_ = std::async(std::launch::async, [&features = features_, first, rows] {
      features.read(first, rows);
      return rows.rows();
    });
  }

  B& worker_;
  F const& features_;
  index_t block_, begun_ = 0;                      // rows
  std::array<upload_memory, 2> memory_;            // (block, width) each: one is read into during the other's upload
  std::size_t at_ = 0;                             // the next buffer to be read into
  buffer<float, typename B::memory_space> given_;  // (block, width)
  std::future<index_t> reading_;  // last member: destroyed first, and its destructor waits for the reader
};

namespace detail {

/// The number of rows per block. Blocks for a device are limited to 32 MiB, because they use two buffers of pinned host
/// memory.
template <Backend B>
index_t feature_rows_at_once(index_t width) {
  constexpr index_t most_bytes = index_t{32} << 20, bytes = sizeof(float);
  if constexpr (std::same_as<typename B::memory_space, host_space>)
    return contract::detail::rows_at_once<B>;
  else
    return std::clamp<index_t>(most_bytes / (bytes * std::max<index_t>(1, width)), 1024,
                               contract::detail::rows_at_once<B>);
}

/// Some consecutive rows of features: a FeatureSource. The features must outlive it.
template <embed::FeatureSource F>
class feature_rows {
 public:
  feature_rows(F const& features, row_range rows) : features_(features), rows_(rows) {}

  index_t rows() const { return rows_.count; }
  index_t width() const { return features_.width(); }
  void read(index_t first, host_matrix_view<float> out) const { features_.read(rows_.first + first, out); }
  void gather(std::span<index_t const> rows, host_matrix_view<float> out) const {
    std::vector<index_t> moved(rows.begin(), rows.end());
    for (auto& row : moved) row += rows_.first;
    features_.gather(moved, out);
  }

 private:
  F const& features_;
  row_range rows_;
};

/// Calls visit(worker, number of the block, its first row, its rows x (count, width)) for all features. On a host, each
/// worker reads and visits the next block as it becomes free. On a device, blocks are visited one after the other.
template <Backend B, embed::FeatureSource F, class Visit>
void for_each_feature_block(B& backend, F const& features, index_t block, Visit&& visit) {
  if constexpr (std::same_as<typename B::memory_space, host_space>) {
    contract::detail::for_each_row_block(backend, features.rows(), block,
                                         [&](B& worker, index_t number, index_t first, index_t count) {
                                           scratch_scope<B> const scope(worker.scratch());
                                           auto const x = take<float>(worker, count, features.width());
                                           features.read(first, x);
                                           visit(worker, number, first, in_matrix<B, float>(x));
                                         });
  } else {
    feature_stream<B, F> stream(backend.worker(0), features, block);
    index_t number = 0;
    for (auto x = stream.next(); x.rows() > 0; x = stream.next(), ++number)
      visit(backend.worker(0), number, number * block, x);
  }
}

}  // namespace detail

}  // namespace mql4grec::quantize
