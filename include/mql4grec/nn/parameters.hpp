#pragma once
// The layout of a model's parameters in one flat buffer. Buffers of the same layout hold gradients and moments, so an
// optimizer step, a norm, a checkpoint or an all-reduce is one call each. Parameters that are added consecutively are
// contiguous: q, k and v of a layer form one merged matrix.
#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::nn {

/// A parameter and its position in the flat buffer. A vector is stored as rows × 1.
struct parameter {
  std::string name;               ///< unique within a model
  index_t rows = 0, columns = 0;  ///< the shape; columns is 1 for a vector
  bool is_vector = false;         ///< whether its shape in files is (rows) instead of (rows, columns)
  index_t offset = 0;             ///< of the first entry in the flat buffer

  /// The number of entries.
  index_t size() const { return rows * columns; }
  /// The shape as files store it.
  std::vector<index_t> shape() const {
    return is_vector ? std::vector<index_t>{rows} : std::vector<index_t>{rows, columns};
  }
};

/// The names, shapes and positions of a model's parameters. Built once by add_* calls, in order.
class parameter_layout {
 public:
  /// Adds a (rows, columns) matrix directly after the previous parameter, and returns its number.
  index_t add_matrix(std::string name, index_t rows, index_t columns) {
    return add({std::move(name), rows, columns, false, size_});
  }
  /// Adds a vector of n entries in the same way.
  index_t add_vector(std::string name, index_t n) { return add({std::move(name), n, 1, true, size_}); }
  /// Makes the next parameter start on a cache line (16 entries). Don't call it between parameters that are to be
  /// merged.
  void align() { size_ = (size_ + 15) / 16 * 16; }
  /// Declares that the parameters added from now on are hidden matrices, until end_of_decayed(): optimizers may treat
  /// them unlike embeddings, tables and gains; see optim/muon.hpp.
  void begin_of_hidden() {
    align();
    hidden_begin_ = size_;
    hidden_ = entries_.size();
  }
  /// Declares that the parameters added so far have weight decay in AdamW, and that later ones (norm gains) don't.
  void end_of_decayed() {
    align();
    decayed_ = size_;
    if (hidden_begin_ < 0) {
      hidden_begin_ = size_;
      hidden_ = entries_.size();
    }
    hidden_count_ = entries_.size() - hidden_;
  }

  /// The number of entries in the flat buffer, including padding.
  index_t size() const { return size_; }
  /// The number of entries at the beginning of the buffer that have weight decay.
  index_t decayed() const { return decayed_; }
  /// Hidden matrices occupy the entries hidden_begin() … decayed() − 1; none if both are equal.
  index_t hidden_begin() const { return std::max<index_t>(hidden_begin_, 0); }
  /// The hidden matrices; see begin_of_hidden().
  std::span<parameter const> hidden() const { return std::span(entries_).subspan(hidden_, hidden_count_); }
  /// All parameters, in the order of the add_* calls.
  std::vector<parameter> const& entries() const { return entries_; }
  /// Parameter number i.
  parameter const& operator[](index_t i) const { return entries_[to_size(i)]; }

  /// The parameter with this name. Throws error when there is none.
  parameter const& find(std::string_view name) const {
    for (auto const& entry : entries_)
      if (entry.name == name) return entry;
    raise("the model has no parameter '", name, "'");
  }

 private:
  index_t add(parameter p) {
    size_ += p.size();
    entries_.push_back(std::move(p));
    return static_cast<index_t>(entries_.size()) - 1;
  }

  std::vector<parameter> entries_;
  index_t size_ = 0, decayed_ = 0, hidden_begin_ = -1;
  std::size_t hidden_ = 0, hidden_count_ = 0;  // the first hidden matrix and their number
};

/// A (rows, columns) view of a part of a flat buffer. For merged parameters, pass the offset of the first and the
/// combined shape.
template <class T, MemorySpace S>
view<T, S, 2> matrix_at(view<T, S, 1> flat, index_t offset, index_t rows, index_t columns) {
  return {flat.part(offset, rows * columns).data, rows, columns};
}

}  // namespace mql4grec::nn
