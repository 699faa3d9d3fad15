#pragma once
// The definitions of core/gguf.hpp that are not templates.
#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstring>
#include <tuple>
#include <utility>

#include "mql4grec/core/detail/half.hpp"
#include "mql4grec/core/dtype.hpp"
#include "mql4grec/core/gguf.hpp"

namespace mql4grec {
inline namespace core {

namespace detail {

/// A type of ggml: how many entries form a block, and the bytes of a block.
struct ggml_layout {
  std::uint32_t type;
  char const* name;
  index_t entries, bytes;
};
/// All types of ggml, so that the position of a tensor with an unsupported type can be checked.
inline constexpr std::array ggml_layouts = {
    ggml_layout{0, "F32", 1, 4},         ggml_layout{1, "F16", 1, 2},         ggml_layout{2, "Q4_0", 32, 18},
    ggml_layout{3, "Q4_1", 32, 20},      ggml_layout{6, "Q5_0", 32, 22},      ggml_layout{7, "Q5_1", 32, 24},
    ggml_layout{8, "Q8_0", 32, 34},      ggml_layout{9, "Q8_1", 32, 36},      ggml_layout{10, "Q2_K", 256, 84},
    ggml_layout{11, "Q3_K", 256, 110},   ggml_layout{12, "Q4_K", 256, 144},   ggml_layout{13, "Q5_K", 256, 176},
    ggml_layout{14, "Q6_K", 256, 210},   ggml_layout{15, "Q8_K", 256, 292},   ggml_layout{16, "IQ2_XXS", 256, 66},
    ggml_layout{17, "IQ2_XS", 256, 74},  ggml_layout{18, "IQ3_XXS", 256, 98}, ggml_layout{19, "IQ1_S", 256, 50},
    ggml_layout{20, "IQ4_NL", 32, 18},   ggml_layout{21, "IQ3_S", 256, 110},  ggml_layout{22, "IQ2_S", 256, 82},
    ggml_layout{23, "IQ4_XS", 256, 136}, ggml_layout{24, "I8", 1, 1},         ggml_layout{25, "I16", 1, 2},
    ggml_layout{26, "I32", 1, 4},        ggml_layout{27, "I64", 1, 8},        ggml_layout{28, "F64", 1, 8},
    ggml_layout{29, "IQ1_M", 256, 56},   ggml_layout{30, "BF16", 1, 2},       ggml_layout{34, "TQ1_0", 256, 54},
    ggml_layout{35, "TQ2_0", 256, 66},   ggml_layout{39, "MXFP4", 32, 17}};

/// The layout of a type, or null when ggml has no such type.
inline ggml_layout const* find_ggml_layout(std::uint32_t type) {
  auto const* const found = std::ranges::find(ggml_layouts, type, &ggml_layout::type);
  return found == ggml_layouts.end() ? nullptr : found;
}
inline ggml_layout const& layout_of(ggml_type type) { return *find_ggml_layout(static_cast<std::uint32_t>(type)); }

template <class T>
T load(std::byte const* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
inline float load_half(std::byte const* from) { return static_cast<float>(half{load<std::uint16_t>(from)}); }

// One block each, as ggml's dequantize_row_* compute it: one product, then one sum, both rounded to float.
inline constexpr index_t quantized_entries = 32;

inline void dequantize_q8_0(std::byte const* block, float* out) {
  float const scale = load_half(block);
  for (index_t i = 0; i < quantized_entries; ++i)
    out[i] = static_cast<float>(static_cast<std::int8_t>(block[2 + i])) * scale;
}
inline void dequantize_q4_0(std::byte const* block, float* out) {
  float const scale = load_half(block);
  for (index_t i = 0; i < quantized_entries / 2; ++i) {
    auto const pair = std::to_integer<int>(block[2 + i]);
    out[i] = static_cast<float>((pair & 15) - 8) * scale;
    out[i + quantized_entries / 2] = static_cast<float>((pair >> 4) - 8) * scale;
  }
}
inline void dequantize_q4_1(std::byte const* block, float* out) {
  float const scale = load_half(block), least = load_half(block + 2);
  for (index_t i = 0; i < quantized_entries / 2; ++i) {
    auto const pair = std::to_integer<int>(block[4 + i]);
    out[i] = static_cast<float>(pair & 15) * scale + least;
    out[i + quantized_entries / 2] = static_cast<float>(pair >> 4) * scale + least;
  }
}
inline void widen_f32(std::byte const* entry, float* out) { *out = load<float>(entry); }
inline void widen_f16(std::byte const* entry, float* out) { *out = load_half(entry); }
inline void widen_bf16(std::byte const* entry, float* out) {
  *out = static_cast<float>(bfloat16{load<std::uint16_t>(entry)});
}

/// The function that converts one block of a type, or null when the type isn't supported.
inline auto block_reader_of(ggml_type type) -> void (*)(std::byte const*, float*) {
  switch (type) {
    case ggml_type::f32: return widen_f32;
    case ggml_type::f16: return widen_f16;
    case ggml_type::bf16: return widen_bf16;
    case ggml_type::q4_0: return dequantize_q4_0;
    case ggml_type::q4_1: return dequantize_q4_1;
    case ggml_type::q8_0: return dequantize_q8_0;
  }
  return nullptr;
}

/// The types of values in the metadata, with the file's numbers.
enum class gguf_type : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

/// Calls f with a value of the C++ type of a scalar other than a string or a list. Returns whether there is one.
template <class F>
bool with_gguf_scalar(gguf_type type, F&& f) {
  switch (type) {
    case gguf_type::u8: return f(std::uint8_t{}), true;
    case gguf_type::i8: return f(std::int8_t{}), true;
    case gguf_type::u16: return f(std::uint16_t{}), true;
    case gguf_type::i16: return f(std::int16_t{}), true;
    case gguf_type::u32: return f(std::uint32_t{}), true;
    case gguf_type::i32: return f(std::int32_t{}), true;
    case gguf_type::u64: return f(std::uint64_t{}), true;
    case gguf_type::i64: return f(std::int64_t{}), true;
    case gguf_type::f32: return f(float{}), true;
    case gguf_type::f64: return f(double{}), true;
    case gguf_type::boolean: return f(bool{}), true;
    case gguf_type::string:
    case gguf_type::array: break;
  }
  return false;
}

/// The type that the metadata keeps a scalar as.
template <class T>
using kept_gguf =
    std::conditional_t<std::same_as<T, bool>, bool,
                       std::conditional_t<std::floating_point<T>, double,
                                          std::conditional_t<std::unsigned_integral<T>, std::uint64_t, std::int64_t>>>;

}  // namespace detail

/// The next bytes of the header. Nothing is read beyond the file.
class gguf::cursor {
 public:
  cursor(std::span<std::byte const> bytes, std::filesystem::path const& path) : bytes_(bytes), path_(path) {}

  index_t position() const { return position_; }
  std::uint64_t rest() const { return bytes_.size() - to_size(position_); }

  template <class T, class Where>
  T read(Where const& where) {
    if constexpr (std::same_as<T, bool>) {
      auto const value = read<std::uint8_t>(where);
      expects_file(value <= 1, path_, where, "byte ", position_ - 1, ": a bool is ", int{value}, ", expected 0 or 1");
      return value == 1;
    } else {
      expects_file(sizeof(T) <= rest(), path_, where, "ends at byte ", bytes_.size(), ", ", sizeof(T) - rest(),
                   " bytes too early");
      T const value = detail::load<T>(bytes_.data() + position_);
      position_ += static_cast<index_t>(sizeof(T));
      return value;
    }
  }
  template <class Where>
  std::string read_string(Where const& where) {
    auto const length = read<std::uint64_t>(where);
    expects_file(length <= rest(), path_, where, "byte ", position_ - 8, ": a string of ", length, " bytes, but only ",
                 rest(), " follow");
    std::string text(reinterpret_cast<char const*>(bytes_.data()) + position_, length);
    position_ += static_cast<index_t>(length);
    return text;
  }
  /// Checks a number of things that occupy at least `least` bytes each.
  template <class Where>
  void expect_room(std::uint64_t count, std::uint64_t least, Where const& where) const {
    expects_file(count <= rest() / least, path_, where, count, " in a place of ", rest(), " bytes, expected at most ",
                 rest() / least);
  }

 private:
  std::span<std::byte const> bytes_;
  std::filesystem::path const& path_;
  index_t position_ = 0;
};

MQL4GREC_DEFINITION gguf::gguf(std::filesystem::path const& path)
    : path_(path), file_(std::make_unique<detail::mapped_file>(path)), bytes_(file_->bytes()) {
  parse();
}
MQL4GREC_DEFINITION gguf::gguf(std::span<std::byte const> bytes, std::filesystem::path path)
    : path_(std::move(path)), bytes_(bytes) {
  parse();
}

MQL4GREC_DEFINITION void gguf::parse() {
  cursor from(bytes_, path_);
  constexpr std::uint32_t magic = 0x46554747;  // "GGUF"
  expects_file(from.read<std::uint32_t>("header: ") == magic, path_,
               "isn't a GGUF file: expected it to begin with GGUF");
  version_ = from.read<std::uint32_t>("header: ");
  expects_file((version_ & 0xffffu) != 0, path_, "header: the file is big-endian, expected little-endian");
  expects_file(version_ == 2 || version_ == 3, path_, "header: version ", version_, ", expected 2 or 3");
  auto const tensors = from.read<std::uint64_t>("header: "), values = from.read<std::uint64_t>("header: ");
  read_metadata(from, values);
  read_tensors(from, tensors);
  index_t const unit = alignment();
  check_data((from.position() + unit - 1) / unit * unit);
}

MQL4GREC_DEFINITION void gguf::read_metadata(cursor& from, std::uint64_t count) {
  from.expect_room(count, 8 + 4 + 1, "header: number of metadata values: ");
  for (std::uint64_t i = 0; i < count; ++i) {
    auto const key = from.read_string("metadata: ");
    auto value = read_value(from, key);
    expects_file(metadata_.emplace(key, std::move(value)).second, path_, "key '", detail::printable(key),
                 "' appears twice");
  }
}

MQL4GREC_DEFINITION gguf_value gguf::read_value(cursor& from, std::string const& key) const {
  auto const where = "key '" + detail::printable(key) + "': ";
  auto const type = from.read<std::uint32_t>(where);
  auto const kind = static_cast<detail::gguf_type>(type);
  if (kind == detail::gguf_type::string) return from.read_string(where);
  if (kind == detail::gguf_type::array) return read_array(from, key);
  gguf_value out;
  bool const known =
      detail::with_gguf_scalar(kind, [&]<class T>(T) { out = detail::kept_gguf<T>{from.read<T>(where)}; });
  expects_file(known, path_, where, "type ", type, ", expected 0 to 12");
  return out;
}

MQL4GREC_DEFINITION gguf_value gguf::read_array(cursor& from, std::string const& key) const {
  auto const where = "key '" + detail::printable(key) + "': ";
  auto const type = from.read<std::uint32_t>(where);
  auto const count = from.read<std::uint64_t>(where);
  auto const kind = static_cast<detail::gguf_type>(type);
  gguf_value out;
  if (kind == detail::gguf_type::string) {
    from.expect_room(count, 8, where);
    std::vector<std::string> texts;
    texts.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) texts.push_back(from.read_string(where));
    out = std::move(texts);
    return out;
  }
  bool const known = detail::with_gguf_scalar(kind, [&]<class T>(T) {
    from.expect_room(count, sizeof(T), where);
    std::vector<detail::kept_gguf<T>> values;
    values.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) values.push_back(from.read<T>(where));
    out = std::move(values);
  });
  expects_file(known, path_, where, "a list of type ", type, ", expected a list of numbers, bools or strings");
  return out;
}

MQL4GREC_DEFINITION index_t gguf::alignment() const {
  auto const unit = value_or<index_t>("general.alignment", 32);
  bool const valid = unit >= 1 && unit <= (1 << 20) && std::has_single_bit(to_size(unit));
  expects_file(valid, path_, "key 'general.alignment': ", unit, ", expected a power of two up to 2^20");
  return unit;
}

MQL4GREC_DEFINITION void gguf::read_tensors(cursor& from, std::uint64_t count) {
  from.expect_room(count, 8 + 4 + 4 + 8, "header: number of tensors: ");
  for (std::uint64_t i = 0; i < count; ++i) {
    auto const name = from.read_string("list of tensors: ");
    auto tensor = read_tensor(from, name);
    expects_file(tensors_.emplace(name, std::move(tensor)).second, path_, place(name), "appears twice");
  }
}

MQL4GREC_DEFINITION gguf_tensor gguf::read_tensor(cursor& from, std::string const& name) const {
  gguf_tensor tensor;
  auto const where = place(name);
  auto const dimensions = from.read<std::uint32_t>(where);
  expects_file(dimensions <= 4, path_, where, dimensions, " dimensions, expected at most 4");
  for (std::uint32_t d = 0; d < dimensions; ++d) {
    auto const extent = from.read<std::uint64_t>(where);
    expects_file(std::in_range<index_t>(extent), path_, where, "dimension ", d, " is ", extent,
                 ", expected below 2^63");
    tensor.shape.insert(tensor.shape.begin(), static_cast<index_t>(extent));
  }
  auto const type = from.read<std::uint32_t>(where);
  auto const* const layout = detail::find_ggml_layout(type);
  expects_file(layout != nullptr, path_, where, "type ", type, " isn't known");
  tensor.type = static_cast<ggml_type>(type);
  auto const offset = from.read<std::uint64_t>(where);
  expects_file(std::in_range<index_t>(offset), path_, where, "offset ", offset, ", expected below 2^63");
  tensor.begin = static_cast<index_t>(offset);

  index_t const columns = tensor.shape.empty() ? 1 : tensor.shape.back();
  expects_file(columns % layout->entries == 0, path_, where, "rows of ", columns, " entries, expected a multiple of ",
               layout->entries, " for ", layout->name);
  index_t const entries = detail::entries_of(tensor.shape);
  bool const fits = entries >= 0 && !__builtin_mul_overflow(entries / layout->entries, layout->bytes, &tensor.bytes);
  expects_file(fits, path_, where, "shape ", detail::shape_text(tensor.shape), " is too large");
  return tensor;
}

MQL4GREC_DEFINITION void gguf::check_data(index_t data_begin) {
  index_t const unit = alignment(), size = std::ssize(bytes_), data_bytes = std::max<index_t>(0, size - data_begin);
  std::vector<std::pair<std::string const*, gguf_tensor*>> order;
  for (auto& [name, tensor] : tensors_) order.emplace_back(&name, &tensor);
  std::ranges::sort(order, {}, [](auto const& o) {
    return std::tuple(o.second->begin, o.second->bytes, std::string_view(*o.first));
  });
  index_t end = 0;
  for (auto const& [name, tensor] : order) {
    expects_file(tensor->begin % unit == 0, path_, place(*name), "begins at data byte ", tensor->begin,
                 ", expected a multiple of ", unit);
    expects_file(tensor->begin >= end, path_, place(*name), "begins at data byte ", tensor->begin, ", expected ", end,
                 " or more: overlaps the tensor before");
    bool const inside = tensor->begin <= data_bytes && tensor->bytes <= data_bytes - tensor->begin;
    expects_file(inside, path_, place(*name), "ends at data byte ", tensor->begin, " + ", tensor->bytes,
                 ", but the file has only ", data_bytes);
    end = tensor->begin + tensor->bytes;
    tensor->begin += data_begin;
  }
}

MQL4GREC_DEFINITION std::vector<std::string> gguf::names() const {
  std::vector<std::string> all;
  for (auto const& [name, info] : tensors_) all.push_back(name);
  return all;
}

MQL4GREC_DEFINITION gguf_tensor const& gguf::info(std::string_view name) const {
  auto const found = tensors_.find(name);
  expects_file(found != tensors_.end(), path_, "tensor '", detail::printable(name), "' is missing");
  return found->second;
}

MQL4GREC_DEFINITION void gguf::read(std::string_view name, std::vector<index_t> const& shape,
                                    host_vector_view<float> out) const {
  auto const& tensor = info(name);
  auto const& layout = detail::layout_of(tensor.type);
  auto* const read_block = detail::block_reader_of(tensor.type);
  expects_file(read_block != nullptr, path_, place(name), "is ", layout.name,
               ", which isn't supported; expected F32, F16, BF16, Q8_0, Q4_0 or Q4_1");
  expects_file(tensor.shape == shape, path_, place(name), "shape ", detail::shape_text(tensor.shape), ", expected ",
               detail::shape_text(shape));
  index_t const blocks = tensor.bytes / layout.bytes;
  expects(out.size() == blocks * layout.entries, path_.string(), ": ", place(name), blocks * layout.entries,
          " entries into a place for ", out.size());
  if (file_) file_->expect_unchanged();
  std::byte const* const data = bytes_.data() + tensor.begin;
  for (index_t i = 0; i < blocks; ++i) read_block(data + i * layout.bytes, out.data + i * layout.entries);
}

MQL4GREC_DEFINITION std::vector<float> gguf::values(std::string_view name) const {
  auto const& tensor = info(name);
  auto const& layout = detail::layout_of(tensor.type);
  std::vector<float> out(to_size(tensor.bytes / layout.bytes * layout.entries));
  read(name, tensor.shape, view_of(std::span(out)));
  return out;
}

MQL4GREC_DEFINITION gguf_value const& gguf::at(std::string_view key) const {
  auto const found = metadata_.find(key);
  expects_file(found != metadata_.end(), path_, "key '", detail::printable(key), "' is missing");
  return found->second;
}

MQL4GREC_DEFINITION void gguf::refuse_type(std::string_view key, char const* expected) const {
  raise<file_error>(path_.string(), ": key '", detail::printable(key), "': isn't ", expected);
}
MQL4GREC_DEFINITION std::string gguf::place(std::string_view name) {
  return "tensor '" + detail::printable(name) + "': ";
}

}  // namespace core
}  // namespace mql4grec
