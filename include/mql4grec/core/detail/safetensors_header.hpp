#pragma once
// What a safetensors file says of itself: kinds of entries, and the JSON header, event by event.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/core/view.hpp"

namespace mql4grec {

static_assert(std::endian::native == std::endian::little,
              "safetensors files are little-endian, and read and written as they are");

/// Kinds of entries, in the order of the official library, which lays tensors out by falling kind, then by name.
enum class dtype { boolean, u8, i8, i16, u16, f16, bf16, i32, u32, f32, f64, i64, u64 };

/// What a file says of a tensor.
struct tensor_info {
  dtype type{};
  std::vector<index_t> shape;
  index_t begin = 0, bytes = 0;  ///< where its entries lie in the file

  index_t size() const;  ///< entries
};

namespace detail {

struct half {  // IEEE 754 binary16
  std::uint16_t bits;
  explicit operator float() const {
    std::uint32_t const sign = std::uint32_t{bits} >> 15 << 31, exponent = (bits >> 10) & 31u, fraction = bits & 1023u;
    if (exponent == 0) return std::copysign(static_cast<float>(fraction) * 0x1p-24f, std::bit_cast<float>(sign | 0x3F800000u));
    return std::bit_cast<float>(sign | (exponent == 31 ? 0xFFu : exponent + 112) << 23 | fraction << 13);
  }
};
struct bfloat16 {  // the upper half of a binary32
  std::uint16_t bits;
  explicit operator float() const { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
};

template <class T>
concept FloatingEntry = std::floating_point<T> || std::same_as<T, half> || std::same_as<T, bfloat16>;
template <class T>
concept Entry = std::is_arithmetic_v<T> && !std::same_as<T, bool>;

inline constexpr std::array<std::string_view, 13> dtype_names = {"BOOL", "U8",  "I8",  "I16", "U16", "F16", "BF16",
                                                                "I32",  "U32", "F32", "F64", "I64", "U64"};
using entry_types = std::tuple<std::uint8_t, std::uint8_t, std::int8_t, std::int16_t, std::uint16_t, half, bfloat16,
                               std::int32_t, std::uint32_t, float, double, std::int64_t, std::uint64_t>;

inline constexpr std::string_view name_of(dtype type) { return dtype_names[static_cast<std::size_t>(type)]; }

/// Calls f with a value of the type that entries of a kind have.
template <class F>
void with_entry_type(dtype type, F&& f) {
  [&]<std::size_t... Kind>(std::index_sequence<Kind...>) {
    ((Kind == static_cast<std::size_t>(type) ? f(std::tuple_element_t<Kind, entry_types>{}) : void()), ...);
  }(std::make_index_sequence<dtype_names.size()>());
}
inline index_t entry_bytes(dtype type) {
  index_t bytes = 0;
  with_entry_type(type, [&]<class T>(T) { bytes = sizeof(T); });
  return bytes;
}

/// Floating point to floating point rounds, but never to infinity; an integer must keep its value. False when it can't.
template <FloatingEntry From, std::floating_point To>
bool convert(From from, To& to) {
  if constexpr (std::floating_point<From>) {
    to = static_cast<To>(from);
    return std::isfinite(to) || !std::isfinite(from);
  } else {
    to = static_cast<To>(static_cast<float>(from));
    return true;
  }
}
template <std::integral From, std::integral To>
bool convert(From from, To& to) {
  to = static_cast<To>(from);
  return std::in_range<To>(from);
}
template <std::integral From, std::floating_point To>
bool convert(From from, To& to) {
  to = static_cast<To>(from);
  if constexpr (std::numeric_limits<From>::digits <= std::numeric_limits<To>::digits) return true;
  auto const most = std::uint64_t{1} << std::numeric_limits<To>::digits;  // all integers up to here are exact
  return std::cmp_less_equal(from, most) && std::cmp_greater_equal(from, -static_cast<std::int64_t>(most));
}

/// A name out of a file, fit for one line.
inline std::string printable(std::string_view name) {
  std::string text(name.substr(0, 120));
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 32 || c == 127) c = '?';
  return text;
}

/// "[3, 4]"
inline std::string shape_text(std::vector<index_t> const& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < std::min<std::size_t>(shape.size(), 16); ++i)
    text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() > 16 ? ", …]" : "]");
}

/// Π shape, or −1 when that is more than an index_t holds.
inline index_t entries_of(std::vector<index_t> const& shape) {
  index_t entries = 1;
  for (index_t const extent : shape)
    if (extent < 0 || __builtin_mul_overflow(entries, extent, &entries)) return -1;
  return entries;
}

/// Takes the header event by event and refuses the first that has no place there, so that no header, however long or
/// nested, makes us hold more than the tensors it lists. Offsets are still those of the data part.
class safetensors_header {
 public:
  std::map<std::string, tensor_info, std::less<>> tensors;
  std::map<std::string, std::string> metadata;

  explicit safetensors_header(std::filesystem::path const& path) : path_(path) {}

  bool start_object(std::size_t) {
    if (depth_ > 1) refuse("an object");
    if (depth_++ == 1 && !in_metadata_) keys_ = 0;
    return true;
  }
  bool end_object() {
    if (--depth_ == 1 && !in_metadata_) finish_tensor();
    return true;
  }
  bool key(std::string& name) {
    if (depth_ == 1) {
      name_ = name;
      in_metadata_ = name == "__metadata__";
      bool const fresh = in_metadata_ ? !std::exchange(has_metadata_, true) : tensors.try_emplace(name).second;
      expects_file(fresh, path_, "header: '", printable(name), "' appears twice");
    } else {
      key_ = name;
      bool const fresh = in_metadata_ ? metadata.try_emplace(name).second : note(name);
      expects_file(fresh, path_, place(), "appears twice");
    }
    return true;
  }
  bool start_array(std::size_t) {
    if (depth_ != 2 || in_metadata_ || key_ == "dtype") refuse("a list");
    ++depth_;
    numbers_.clear();
    return true;
  }
  bool end_array() {
    --depth_;
    if (key_ == "shape")
      tensors[name_].shape = numbers_;
    else
      take_offsets();
    return true;
  }
  bool string(std::string& value) {
    if (depth_ != 2 || (!in_metadata_ && key_ != "dtype")) refuse("a string");
    if (in_metadata_)
      metadata[key_] = value;
    else
      take_dtype(value);
    return true;
  }
  bool number_unsigned(std::uint64_t value) {
    if (depth_ != 3 || !std::in_range<index_t>(value)) refuse(value);
    numbers_.push_back(static_cast<index_t>(value));
    return true;
  }
  bool number_integer(std::int64_t value) { refuse(value); }
  bool number_float(double, std::string const& text) { refuse(printable(text)); }
  bool boolean(bool value) { refuse(value ? "true" : "false"); }
  bool null() { refuse("null"); }
  bool binary(nlohmann::json::binary_t&) { refuse("binary data"); }
  bool parse_error(std::size_t position, std::string const&, nlohmann::json::exception const&) {
    raise<file_error>(path_.string(), ": header: byte ", position, ": not valid JSON");
  }

 private:
  static constexpr std::array<std::string_view, 3> known_keys = {"dtype", "shape", "data_offsets"};

  bool note(std::string_view key) {
    auto const known = std::ranges::find(known_keys, key);
    expects_file(known != known_keys.end(), path_, place(), "unknown; expected dtype, shape and data_offsets");
    unsigned const bit = 1u << (known - known_keys.begin()), before = keys_;
    keys_ |= bit;
    return (before & bit) == 0;
  }
  void finish_tensor() const {
    for (std::size_t i = 0; i < known_keys.size(); ++i)
      expects_file((keys_ >> i & 1u) != 0, path_, "tensor '", printable(name_), "': key '", known_keys[i], "' is missing");
  }
  void take_dtype(std::string_view name) {
    auto const found = std::ranges::find(dtype_names, name);
    expects_file(found != dtype_names.end(), path_, place(), "'", printable(name),
                 "', expected BOOL, F16, BF16, F32, F64, I8 … I64 or U8 … U64");
    tensors[name_].type = static_cast<dtype>(found - dtype_names.begin());
  }
  void take_offsets() {
    expects_file(numbers_.size() == 2, path_, place(), "a list of ", numbers_.size(), ", expected [begin, end]");
    expects_file(numbers_[0] <= numbers_[1], path_, place(), shape_text(numbers_), ", expected begin ≤ end");
    tensors[name_].begin = numbers_[0];
    tensors[name_].bytes = numbers_[1] - numbers_[0];
  }
  std::string place() const {
    std::string const name = in_metadata_ ? "__metadata__" : "tensor '" + printable(name_) + "'";
    return depth_ == 0 ? "header: " : depth_ == 1 ? name + ": " : name + ": key '" + printable(key_) + "': ";
  }
  char const* expected() const {
    if (depth_ < 2) return "an object";
    if (depth_ == 3) return "integers from 0 to 2^63 − 1";
    return in_metadata_ || key_ == "dtype" ? "a string" : "a list of integers";
  }
  template <class Found>
  [[noreturn]] void refuse(Found const& found) const {
    raise<file_error>(path_.string(), ": ", place(), "found ", found, ", expected ", expected());
  }

  std::filesystem::path const& path_;
  std::string name_, key_;
  std::vector<index_t> numbers_;
  int depth_ = 0;
  unsigned keys_ = 0;  // a bit for each of known_keys that the tensor has
  bool in_metadata_ = false, has_metadata_ = false;
};

inline constexpr index_t most_header_bytes = 100'000'000;  // the official library's limit

}  // namespace detail

inline index_t tensor_info::size() const { return bytes / detail::entry_bytes(type); }

}  // namespace mql4grec
