#pragma once
// Strong integer types for users, items, codes and tokens.
#include <cstdint>
#include <type_traits>

#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace core {

/// A user. Like the types below, a strong integer type: an item can't be passed as a token. Numbers are dense and start
/// at 0.
enum class user_id : std::int32_t {};
/// An item of the catalog.
enum class item_id : std::int32_t {};
/// A code within its level, 0 … K−1.
enum class code_t : std::int32_t {};
/// A token of the vocabulary, 0 … V−1.
enum class token_t : std::int32_t {};

/// Item numbers in files must be below this: they fit an item_id, and so does the largest plus one. Memory use depends
/// on the number of items, not on the largest number.
inline constexpr index_t item_number_limit = 0x7fffffff;

/// A target that isn't predicted: its loss and its gradient are 0.
inline constexpr token_t no_target{-1};

/// The strong integer types of this file, and others like them.
template <class T>
concept StrongId = std::is_enum_v<T> && std::is_same_v<std::underlying_type_t<T>, std::int32_t>;

/// The number of a strong id, as a position.
template <StrongId T>
constexpr index_t index(T id) {
  return static_cast<index_t>(id);
}

/// The same, as the index of a container. It must not be negative (assert).
template <StrongId T>
constexpr std::size_t to_size(T id) {
  return to_size(index(id));
}

}  // namespace core
}  // namespace mql4grec
