#pragma once
// safetensors files (huggingface/safetensors, README "Format"): 8 bytes of header length, a JSON header, the tensors' bytes.
// Files come from strangers: everything the header claims is checked against the file before anything is allocated for it.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "mql4grec/core/files.hpp"
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

/// A regular file that is read in pieces. Not mapped: if it shrinks meanwhile that is an error here, not a signal.
class input_file {
 public:
  explicit input_file(std::filesystem::path path) : path_(std::move(path)) {
    descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe must not make us wait
    expects_file(descriptor_ >= 0, path_, "can't be opened for reading: ", std::strerror(errno));
    struct ::stat status {};
    bool const regular = ::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
    if (!regular) ::close(descriptor_);
    expects_file(regular, path_, "isn't a regular file");
    size_ = static_cast<index_t>(status.st_size);
  }
  input_file(input_file&& other) noexcept
      : path_(std::move(other.path_)), size_(other.size_), descriptor_(std::exchange(other.descriptor_, -1)) {}
  input_file& operator=(input_file&&) = delete;
  ~input_file() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  std::filesystem::path const& path() const { return path_; }
  index_t size() const { return size_; }
  void read(index_t begin, void* data, index_t bytes) const {
    auto* next = static_cast<char*>(data);
    while (bytes > 0) {
      ::ssize_t const got = ::pread(descriptor_, next, static_cast<std::size_t>(bytes), begin);
      if (got < 0 && errno == EINTR) continue;
      expects_file(got >= 0, path_, "can't be read: ", std::strerror(errno));
      expects_file(got > 0, path_, "ends at byte ", begin, ", has become shorter while it was read");
      next += got;
      begin += got;
      bytes -= got;
    }
  }

 private:
  std::filesystem::path path_;
  index_t size_ = 0;
  int descriptor_ = -1;
};

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

/// A safetensors file, fully checked when opened: throws file_error when the header isn't JSON of the right form, a type is
/// unknown, or the tensors don't fill the data part exactly, each its own bytes. Entries are read on demand; const use from
/// many threads is fine.
class safetensors {
 public:
  explicit safetensors(std::filesystem::path const& path) : file_(path) {
    index_t const header_bytes = read_header_length();
    std::string text(static_cast<std::size_t>(header_bytes), '\0');
    file_.read(8, text.data(), header_bytes);
    expects_file(text.starts_with('{'), path, "header: expected a JSON object that starts at byte 8");
    detail::safetensors_header header(path);
    nlohmann::json::sax_parse(text, &header);
    tensors_ = std::move(header.tensors);
    metadata_ = std::move(header.metadata);
    check_data(8 + header_bytes);
  }

  std::filesystem::path const& path() const { return file_.path(); }
  std::map<std::string, std::string> const& metadata() const { return metadata_; }

  /// In alphabetical order.
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (auto const& [name, info] : tensors_) all.push_back(name);
    return all;
  }
  bool contains(std::string_view name) const { return tensors_.contains(name); }
  tensor_info const& info(std::string_view name) const {
    auto const found = tensors_.find(name);
    expects_file(found != tensors_.end(), path(), "tensor '", detail::printable(name), "' is missing");
    return found->second;
  }

  /// Reads all entries of a tensor, row-major. Floating point is rounded to T; integers must fit. Throws file_error when the
  /// tensor is missing, has another shape or entries that no T can be.
  template <detail::Entry T>
  void read(std::string_view name, std::vector<index_t> const& shape, host_vector_view<T> out) const {
    auto const& tensor = info(name);
    expects_file(tensor.shape == shape, path(), place(name), "shape ", detail::shape_text(tensor.shape), ", expected ",
                 detail::shape_text(shape));
    expects(out.size() == tensor.size(), path().string(), ": ", place(name), tensor.size(), " entries into a place for ",
            out.size());
    detail::with_entry_type(tensor.type, [&]<class From>(From) { read_as<From>(name, tensor, out); });
  }
  /// The same with the shape that the file gives.
  template <detail::Entry T>
  std::vector<T> values(std::string_view name) const {
    std::vector<T> out(static_cast<std::size_t>(info(name).size()));
    read(name, info(name).shape, view_of(std::span<T>(out)));
    return out;
  }

 private:
  static std::string place(std::string_view name) { return "tensor '" + detail::printable(name) + "': "; }

  index_t read_header_length() const {
    expects_file(file_.size() >= 8, path(), "is ", file_.size(),
                 " bytes, expected at least the 8 of a safetensors header's length");
    std::uint64_t bytes = 0;
    file_.read(0, &bytes, sizeof bytes);
    expects_file(bytes <= std::uint64_t{detail::most_header_bytes}, path(), "header: its length is ", bytes,
                 ", expected at most ", detail::most_header_bytes);
    auto const length = static_cast<index_t>(bytes);
    expects_file(length <= file_.size() - 8, path(), "header: its length is ", length, ", but only ", file_.size() - 8,
                 " bytes follow");
    return length;
  }

  /// Every tensor has as many bytes as its shape needs, and one begins where the one before ends.
  void check_data(index_t data_begin) {
    index_t const data_bytes = file_.size() - data_begin;
    std::vector<std::pair<std::string const*, tensor_info*>> order;
    for (auto& [name, tensor] : tensors_) {
      check_size(name, tensor);
      order.emplace_back(&name, &tensor);
    }
    std::ranges::sort(order, {},
                      [](auto const& o) { return std::tuple(o.second->begin, o.second->bytes, std::string_view(*o.first)); });
    index_t end = 0;
    for (auto const& [name, tensor] : order) {
      expects_file(tensor->begin == end, path(), place(*name), "begins at data byte ", tensor->begin, ", expected ", end,
                   tensor->begin < end ? ": overlaps the tensor before" : ": a gap");
      expects_file(tensor->bytes <= data_bytes - end, path(), place(*name), "ends at data byte ", end, " + ", tensor->bytes,
                   ", but the file has only ", data_bytes);
      end += tensor->bytes;
      tensor->begin += data_begin;
    }
    expects_file(end == data_bytes, path(), data_bytes - end, " bytes behind the last tensor, expected none");
  }
  void check_size(std::string_view name, tensor_info const& tensor) const {
    index_t bytes = detail::entries_of(tensor.shape);
    bool const fits = bytes >= 0 && !__builtin_mul_overflow(bytes, detail::entry_bytes(tensor.type), &bytes);
    expects_file(fits, path(), place(name), "shape ", detail::shape_text(tensor.shape), " is too large");
    expects_file(bytes == tensor.bytes, path(), place(name), "data_offsets span ", tensor.bytes, " bytes, expected ", bytes,
                 " for ", detail::name_of(tensor.type), " ", detail::shape_text(tensor.shape));
  }

  template <class From, class T>
  void read_as(std::string_view name, tensor_info const& tensor, host_vector_view<T> out) const {
    if constexpr (std::same_as<From, T>) {
      file_.read(tensor.begin, out.data, tensor.bytes);
    } else if constexpr (detail::FloatingEntry<From> && std::integral<T>) {
      detail::raise<file_error>(path().string(), ": ", place(name), "is ", detail::name_of(tensor.type),
                                ", expected integers");
    } else {
      std::vector<From> piece(static_cast<std::size_t>(std::min<index_t>(out.size(), 1 << 15)));
      for (index_t first = 0; first < out.size(); first += std::ssize(piece)) {
        index_t const count = std::min<index_t>(std::ssize(piece), out.size() - first), width = sizeof(From);
        file_.read(tensor.begin + first * width, piece.data(), count * width);
        for (index_t i = 0; i < count; ++i)
          if (!detail::convert(piece[static_cast<std::size_t>(i)], out(first + i))) [[unlikely]]
            detail::raise<file_error>(path().string(), ": ", place(name), "entry ", first + i, " doesn't fit its new type");
      }
    }
  }

  detail::input_file file_;
  std::map<std::string, tensor_info, std::less<>> tensors_;
  std::map<std::string, std::string> metadata_;
};

using tensor_values = std::variant<host_vector_view<float const>, host_vector_view<double const>,
                                   host_vector_view<std::int32_t const>, host_vector_view<std::int64_t const>,
                                   host_vector_view<std::uint8_t const>>;

/// A tensor to be written: its entries stay where they are.
struct named_tensor {
  std::string name;
  std::vector<index_t> shape;
  tensor_values values;  // row-major
};

namespace detail {
inline dtype type_of(named_tensor const& tensor) {
  constexpr std::array types = {dtype::f32, dtype::f64, dtype::i32, dtype::i64, dtype::u8};
  return types[tensor.values.index()];
}

/// The length, the header and its padding; `order` is that of the data.
inline std::string safetensors_prefix(std::filesystem::path const& path, std::vector<named_tensor const*> const& order,
                                      std::map<std::string, std::string> const& metadata) {
  json header = json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::string text;
  index_t end = 0;
  try {
    text = header.dump();
    text.pop_back();
    for (auto const* tensor : order) {  // not through one object: its members are searched one by one
      dtype const type = type_of(*tensor);
      index_t const begin = end;
      end += entries_of(tensor->shape) * entry_bytes(type);
      json const entry = {{"dtype", name_of(type)}, {"shape", tensor->shape}, {"data_offsets", {begin, end}}};
      text += (text.size() > 1 ? "," : "") + json(tensor->name).dump() + ":" + entry.dump();
    }
  } catch (nlohmann::json::exception const&) {
    raise<file_error>(path.string(), ": a name isn't valid UTF-8");
  }
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the data is aligned then, for readers that map the file
  expects_file(std::cmp_less_equal(text.size(), most_header_bytes), path, "header of ", text.size(),
               " bytes, expected at most ", most_header_bytes);
  std::uint64_t const bytes = text.size();
  return std::string(reinterpret_cast<char const*>(&bytes), sizeof bytes) + text;
}
}  // namespace detail

/// Writes a file that appears whole or not at all. The bytes depend on the tensors alone, not on their order, and are those of
/// the official library. Throws file_error; error when a shape doesn't fit its entries or a name is used twice.
inline void write_safetensors(std::filesystem::path const& path, std::span<named_tensor const> tensors,
                              std::map<std::string, std::string> const& metadata = {}) {
  std::vector<named_tensor const*> order;
  std::set<std::string_view> names;
  for (auto const& tensor : tensors) {
    index_t const size = std::visit([](auto const& v) { return v.size(); }, tensor.values);
    expects(detail::entries_of(tensor.shape) == size, path.string(), ": tensor '", tensor.name, "' has ", size,
            " entries, its shape is ", detail::shape_text(tensor.shape));
    expects(names.insert(tensor.name).second, path.string(), ": two tensors with the name '", tensor.name, "'");
    expects(tensor.name != "__metadata__", path.string(), ": no tensor can have the name __metadata__");
    order.push_back(&tensor);
  }
  std::ranges::sort(order, [](auto const* a, auto const* b) {
    return std::tuple(detail::type_of(*b), std::string_view(a->name)) <
           std::tuple(detail::type_of(*a), std::string_view(b->name));
  });

  atomic_file file(path);
  file.write(detail::safetensors_prefix(path, order, metadata));
  for (auto const* tensor : order)
    std::visit([&](auto const& v) { file.write(v.data, static_cast<std::size_t>(v.size()) * sizeof(*v.data)); },
               tensor->values);
  file.commit();
}

}  // namespace mql4grec
