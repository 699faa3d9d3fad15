#pragma once
// Columns of large tables: entries in memory of their own, or in a file that is mapped read-only and shared with all
// processes that map it. A column that is read doesn't care which.
#include <algorithm>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace core {

/// Entries in consecutive memory, in a vector or in a mapped file. Copies of a mapped column share the file. const
/// members may be called from many threads.
template <class T>
class column {
 public:
  /// The type of the entries.
  using value_type = T;

  /// No entries.
  column() = default;
  /// Entries in memory. Implicit, so that a column can be set as a vector is.
  column(std::vector<T> entries) : own_(std::move(entries)) {}  // NOLINT
  /// The same.
  column(std::initializer_list<T> entries) : own_(entries) {}
  /// Entries in memory that `owner` keeps valid, for example a mapped file.
  column(std::span<T const> entries, std::shared_ptr<void const> owner) : mapped_(entries), owner_(std::move(owner)) {}

  /// The first entry.
  T const* data() const { return owner_ ? mapped_.data() : own_.data(); }
  /// The number of entries.
  std::size_t size() const { return owner_ ? mapped_.size() : own_.size(); }
  /// Whether there are no entries.
  bool empty() const { return size() == 0; }
  /// Entry i, which must exist.
  T const& operator[](std::size_t i) const { return data()[i]; }
  /// The first entry, which must exist.
  T const& front() const { return data()[0]; }
  /// The last entry, which must exist.
  T const& back() const { return data()[size() - 1]; }
  /// The first entry.
  T const* begin() const { return data(); }
  /// The end of the entries.
  T const* end() const { return data() + size(); }

  /// Whether the entries are in memory that the column doesn't own.
  bool is_mapped() const { return owner_ != nullptr; }
  /// The entries as a vector that can be changed. Mapped entries are copied into memory first.
  std::vector<T>& own() {
    if (owner_) {
      own_.assign(mapped_.begin(), mapped_.end());
      mapped_ = {};
      owner_.reset();
    }
    return own_;
  }

  /// Whether the entries are equal, wherever they are.
  friend bool operator==(column const& a, column const& b) { return std::ranges::equal(a, b); }

 private:
  std::vector<T> own_;
  std::span<T const> mapped_;
  std::shared_ptr<void const> owner_;  // of mapped_; none: the entries are own_
};

/// Strings in consecutive memory, in two columns: the bytes of all strings, and where each begins.
class string_column {
 public:
  /// No strings.
  string_column() = default;
  /// Strings in memory. Implicit, so that a column can be set as a vector is.
  string_column(std::vector<std::string> const& strings) {  // NOLINT
    for (auto const& text : strings) push_back(text);
  }
  /// String i is bytes[offsets[i] … offsets[i + 1]). The offsets must rise from 0 to the number of bytes.
  string_column(column<char> bytes, column<index_t> offsets) : bytes_(std::move(bytes)), offsets_(std::move(offsets)) {}

  /// The number of strings.
  std::size_t size() const { return offsets_.empty() ? 0 : offsets_.size() - 1; }  // empty: moved from
  /// String i, which must exist. Valid until the column changes.
  std::string_view operator[](std::size_t i) const {
    return {bytes_.data() + offsets_[i], to_size(offsets_[i + 1] - offsets_[i])};
  }
  /// The same. Throws error when it doesn't exist.
  std::string_view at(std::size_t i) const {
    expects(i < size(), "string ", i, " of ", size());
    return (*this)[i];
  }

  /// Appends a string.
  void push_back(std::string_view text) {
    auto& bytes = bytes_.own();
    auto& offsets = offsets_.own();
    if (offsets.empty()) offsets.push_back(0);
    bytes.insert(bytes.end(), text.begin(), text.end());
    offsets.push_back(std::ssize(bytes));
  }

  bool operator==(string_column const&) const = default;

 private:
  column<char> bytes_;
  column<index_t> offsets_ = {0};
};

}  // namespace core
}  // namespace mql4grec
