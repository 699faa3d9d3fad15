#pragma once
// One flat buffer holds every parameter, and buffers of the same layout hold gradients and moments: an optimiser step,
// a norm, a checkpoint or an all-reduce is one call each. Parameters that are declared one after another lie side by
// side, so q, k and v of a layer are one merged matrix.
#include <string>
#include <string_view>
#include <vector>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::nn {

/// Where a parameter lies in the flat buffer. A vector is kept as rows × 1.
struct parameter {
  std::string name;
  index_t rows = 0, columns = 0;
  bool is_vector = false;
  index_t offset = 0;

  index_t size() const { return rows * columns; }
  std::vector<index_t> shape() const {
    return is_vector ? std::vector<index_t>{rows} : std::vector<index_t>{rows, columns};
  }
};

/// The names, shapes and places of a model's parameters.
class parameter_layout {
 public:
  /// A (rows, columns) matrix, directly behind the one before.
  index_t add_matrix(std::string name, index_t rows, index_t columns) {
    return add({std::move(name), rows, columns, false, size_});
  }
  index_t add_vector(std::string name, index_t n) { return add({std::move(name), n, 1, true, size_}); }
  /// The next parameter starts on a cache line. Not between parameters that are to be merged.
  void align() { size_ = (size_ + 15) / 16 * 16; }
  /// What was added so far decays in AdamW, what follows (norm gains) doesn't.
  void end_of_decayed() {
    align();
    decayed_ = size_;
  }

  index_t size() const { return size_; }
  index_t decayed() const { return decayed_; }
  std::vector<parameter> const& entries() const { return entries_; }
  parameter const& operator[](index_t i) const { return entries_[static_cast<std::size_t>(i)]; }

  parameter const& find(std::string_view name) const {
    for (auto const& entry : entries_)
      if (entry.name == name) return entry;
    mql4grec::detail::raise("the model has no parameter '", name, "'");
  }

 private:
  index_t add(parameter p) {
    size_ += p.size();
    entries_.push_back(std::move(p));
    return static_cast<index_t>(entries_.size()) - 1;
  }

  std::vector<parameter> entries_;
  index_t size_ = 0, decayed_ = 0;
};

/// A window of a flat buffer with the shape of a parameter; for merged parameters, name the first and the whole shape.
template <class T, MemorySpace S>
view<T, S, 2> matrix_at(view<T, S, 1> flat, index_t offset, index_t rows, index_t columns) {
  return {flat.part(offset, rows * columns).data, rows, columns};
}

}  // namespace mql4grec::nn
