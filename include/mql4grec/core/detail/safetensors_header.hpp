#pragma once
// The JSON header of a safetensors file, parsed event by event.
#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "mql4grec/core/detail/json_events.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/dtype.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/tensor_info.hpp"

namespace mql4grec {
inline namespace core {
namespace detail {

/// Receives the header's events and throws file_error at the first invalid one. Whatever the header's length or
/// nesting, memory holds only the tensors that it lists. Offsets are relative to the data part.
class safetensors_header final : public json_listener {
 public:
  std::map<std::string, tensor_info, std::less<>> tensors;
  std::map<std::string, std::string> metadata;

  explicit safetensors_header(std::filesystem::path const& path) : path_(path) {}

  bool start_object(std::size_t) override {
    if (depth_ > 1) refuse("an object");
    if (depth_++ == 1 && !in_metadata_) keys_ = 0;
    return true;
  }
  bool end_object() override {
    if (--depth_ == 1 && !in_metadata_) finish_tensor();
    return true;
  }
  bool key(std::string& name) override {
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
  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata_ || key_ == "dtype") refuse("a list");
    ++depth_;
    numbers_.clear();
    return true;
  }
  bool end_array() override {
    --depth_;
    if (key_ == "shape")
      tensors[name_].shape = numbers_;
    else
      take_offsets();
    return true;
  }
  bool string(std::string& value) override {
    if (depth_ != 2 || (!in_metadata_ && key_ != "dtype")) refuse("a string");
    if (in_metadata_)
      metadata[key_] = value;
    else
      take_dtype(value);
    return true;
  }
  bool number_unsigned(std::uint64_t value) override {
    if (depth_ != 3 || !std::in_range<index_t>(value)) refuse(value);
    numbers_.push_back(static_cast<index_t>(value));
    return true;
  }
  bool number_integer(std::int64_t value) override { refuse(value); }
  bool number_float(double, std::string const& text) override { refuse(printable(text)); }
  bool boolean(bool value) override { refuse(value ? "true" : "false"); }
  bool null() override { refuse("null"); }
  bool binary(json::binary_t&) override { refuse("binary data"); }
  bool parse_error(std::size_t position, std::string const&, json::exception const&) override {
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
      expects_file((keys_ >> i & 1u) != 0, path_, "tensor '", printable(name_), "': key '", known_keys[i],
                   "' is missing");
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
  unsigned keys_ = 0;  // one bit for each of known_keys that the tensor has
  bool in_metadata_ = false, has_metadata_ = false;
};

inline constexpr index_t most_header_bytes = 100'000'000;  // the official library's limit

}  // namespace detail
}  // namespace core
}  // namespace mql4grec
