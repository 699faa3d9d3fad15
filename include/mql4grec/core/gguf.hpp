#pragma once
// GGUF files (ggml-org/ggml, docs/gguf.md), versions 2 and 3, little-endian: a header with metadata of several types, a
// list of tensors, and the tensors' blocks. Files may be malicious: every count, length, type and offset is checked
// against the file before it is used. Shapes are given in PyTorch's order, (rows, columns); the file stores the
// columns first.
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mql4grec/core/detail/mapped_file.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/view.hpp"

namespace mql4grec {
inline namespace core {

/// The formats of blocks of entries; the numbers are those of the file. Only those that can be read have a name here.
enum class ggml_type : std::uint32_t { f32 = 0, f16 = 1, q4_0 = 2, q4_1 = 3, q8_0 = 8, bf16 = 30 };

/// A value of the metadata. Unsigned integers of any width are std::uint64_t, signed ones std::int64_t, floating point
/// is double.
using gguf_value =
    std::variant<bool, std::uint64_t, std::int64_t, double, std::string, std::vector<bool>, std::vector<std::uint64_t>,
                 std::vector<std::int64_t>, std::vector<double>, std::vector<std::string>>;

/// The description of a tensor in a GGUF file.
struct gguf_tensor {
  ggml_type type{};              ///< may be a type without a name, which can't be read
  std::vector<index_t> shape;    ///< the columns last; empty for a scalar
  index_t begin = 0, bytes = 0;  ///< position in the file, and size in bytes
};

/// A GGUF file, fully checked when opened: throws file_error when a count, length, type, offset or alignment can't be
/// right, when a name appears twice, and when tensors overlap or exceed the file. Tensors are read on demand. const
/// members may be called from many threads.
class gguf {
 public:
  /// Maps and checks a file.
  explicit gguf(std::filesystem::path const& path);
  /// Checks a file in memory, which must outlive the object. `path` appears in errors.
  gguf(std::span<std::byte const> bytes, std::filesystem::path path);

  /// The path that the file was opened with.
  std::filesystem::path const& path() const { return path_; }
  /// The version of the format, 2 or 3.
  std::uint32_t version() const { return version_; }
  /// All metadata.
  std::map<std::string, gguf_value, std::less<>> const& metadata() const { return metadata_; }
  /// Whether the metadata has this key.
  bool has(std::string_view key) const { return metadata_.contains(key); }

  /// The value of a key, as T: bool, index_t (integers that fit), double (any number), std::string, or a vector of one
  /// of them. Throws file_error when the key is missing or its value has another type.
  template <class T>
  T value(std::string_view key) const;
  /// The same, or `otherwise` when the key is missing.
  template <class T>
  T value_or(std::string_view key, T otherwise) const {
    return has(key) ? value<T>(key) : otherwise;
  }

  /// The names of all tensors, in alphabetical order.
  std::vector<std::string> names() const;
  /// Whether there is a tensor with this name.
  bool contains(std::string_view name) const { return tensors_.contains(name); }
  /// The description of a tensor. Throws file_error when there is none with this name.
  gguf_tensor const& info(std::string_view name) const;

  /// Reads all entries of a tensor, row-major, dequantized to float as ggml does. Throws file_error when the tensor is
  /// missing, has another shape or a type that isn't supported; error when `out` has another size.
  void read(std::string_view name, std::vector<index_t> const& shape, host_vector_view<float> out) const;
  /// Reads all entries of a tensor of any shape; else as read().
  std::vector<float> values(std::string_view name) const;

 private:
  class cursor;

  void parse();
  gguf_value read_value(cursor& from, std::string const& key) const;
  gguf_value read_array(cursor& from, std::string const& key) const;
  void read_metadata(cursor& from, std::uint64_t count);
  void read_tensors(cursor& from, std::uint64_t count);
  gguf_tensor read_tensor(cursor& from, std::string const& name) const;
  index_t alignment() const;
  /// Checks that the tensors lie inside the file, aligned and without overlap, and makes positions absolute.
  void check_data(index_t data_begin);
  gguf_value const& at(std::string_view key) const;
  [[noreturn]] void refuse_type(std::string_view key, char const* expected) const;
  static std::string place(std::string_view name);

  std::filesystem::path path_;
  std::unique_ptr<detail::mapped_file> file_;  // null for a file in memory
  std::span<std::byte const> bytes_;
  std::uint32_t version_ = 0;
  std::map<std::string, gguf_value, std::less<>> metadata_;
  std::map<std::string, gguf_tensor, std::less<>> tensors_;
};

namespace detail {

/// Converts a value of the metadata and returns whether that was possible.
template <class From, class To>
bool convert_gguf(From const& from, To& to) {
  if constexpr (std::same_as<From, To>) {
    to = from;
    return true;
  } else if constexpr (std::same_as<To, index_t> &&
                       (std::same_as<From, std::uint64_t> || std::same_as<From, std::int64_t>)) {
    to = static_cast<index_t>(from);
    return std::in_range<index_t>(from);
  } else if constexpr (std::same_as<To, double> &&
                       (std::same_as<From, std::uint64_t> || std::same_as<From, std::int64_t>)) {
    to = static_cast<double>(from);
    return true;
  } else {
    return false;
  }
}
template <class From, class To>
bool convert_gguf(std::vector<From> const& from, std::vector<To>& to) {
  to.reserve(from.size());
  for (From const& entry : from) {
    To converted{};
    if (!convert_gguf(entry, converted)) return false;
    to.push_back(std::move(converted));
  }
  return true;
}

template <class T>
constexpr char const* gguf_kind() {
  if constexpr (std::same_as<T, bool>)
    return "true or false";
  else if constexpr (std::same_as<T, index_t>)
    return "an integer below 2^63";
  else if constexpr (std::same_as<T, double>)
    return "a number";
  else if constexpr (std::same_as<T, std::string>)
    return "a string";
  else if constexpr (std::same_as<T, std::vector<std::string>>)
    return "a list of strings";
  else if constexpr (std::same_as<T, std::vector<index_t>>)
    return "a list of integers below 2^63";
  else
    return "a list of numbers";
}

}  // namespace detail

template <class T>
T gguf::value(std::string_view key) const {
  T out{};
  bool const converted = std::visit([&](auto const& from) { return detail::convert_gguf(from, out); }, at(key));
  if (!converted) refuse_type(key, detail::gguf_kind<T>());
  return out;
}

}  // namespace core
}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/core/gguf.inl.hpp"
#endif
