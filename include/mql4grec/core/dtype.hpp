#pragma once
// The types of entries of tensors in files, and conversions among them.
#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "mql4grec/core/detail/half.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace core {

static_assert(std::endian::native == std::endian::little,
              "tensors in files are little-endian, and read and written as they are");

/// The types of entries, in the order of the official safetensors library, which stores tensors by descending type,
/// then by name.
enum class dtype { boolean, u8, i8, i16, u16, f16, bf16, i32, u32, f32, f64, i64, u64 };

namespace detail {

template <class T>
concept FloatingEntry = std::floating_point<T> || std::same_as<T, half> || std::same_as<T, bfloat16>;
template <class T>
concept Entry = std::is_arithmetic_v<T> && !std::same_as<T, bool>;

inline constexpr std::array<std::string_view, 13> dtype_names = {"BOOL", "U8",  "I8",  "I16", "U16", "F16", "BF16",
                                                                 "I32",  "U32", "F32", "F64", "I64", "U64"};
using entry_types = std::tuple<std::uint8_t, std::uint8_t, std::int8_t, std::int16_t, std::uint16_t, half, bfloat16,
                               std::int32_t, std::uint32_t, float, double, std::int64_t, std::uint64_t>;

inline constexpr std::string_view name_of(dtype type) { return dtype_names[static_cast<std::size_t>(type)]; }

/// Calls f with a value of the C++ type that corresponds to a dtype.
template <class F>
void with_entry_type(dtype type, F&& f) {
  [&]<std::size_t... Kind>(std::index_sequence<Kind...>) {
    ((Kind == static_cast<std::size_t>(type) ? f(std::tuple_element_t<Kind, entry_types>{}) : void()), ...);
  }
  (std::make_index_sequence<dtype_names.size()>());
}
inline index_t entry_bytes(dtype type) {
  index_t bytes = 0;
  with_entry_type(type, [&]<class T>(T) { bytes = sizeof(T); });
  return bytes;
}

/// Converts an entry and returns whether that was possible. Floating point is rounded, but a finite value must not
/// become infinite; an integer must keep its value.
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

/// The product of the extents, or −1 when it exceeds index_t.
inline index_t entries_of(std::vector<index_t> const& shape) {
  index_t entries = 1;
  for (index_t const extent : shape)
    if (extent < 0 || __builtin_mul_overflow(entries, extent, &entries)) return -1;
  return entries;
}

}  // namespace detail
}  // namespace core
}  // namespace mql4grec
