#pragma once
#include <cstdint>
#include <type_traits>

#include "mql4grec/core/scalar.hpp"

namespace mql4grec {

/// Strong numbers: an item can't be passed where a token is meant. All are dense and start at 0.
enum class user_id : std::int32_t {};
enum class item_id : std::int32_t {};
enum class code_t : std::int32_t {};   ///< a codeword inside its level, 0 … K−1
enum class token_t : std::int32_t {};  ///< an entry of the vocabulary, 0 … V−1

/// Item numbers from files are less: what an item_id holds, with room for one more than the largest. What is kept in
/// memory follows how many items there are, not how large their numbers.
inline constexpr index_t item_number_limit = 0x7fffffff;

/// What stands for a token that nobody is to predict: its loss and its gradient are 0.
inline constexpr token_t no_target{-1};

template <class T>
concept StrongId = std::is_enum_v<T> && std::is_same_v<std::underlying_type_t<T>, std::int32_t>;

/// The number inside a strong id, as a position.
template <StrongId T>
constexpr index_t index(T id) {
  return static_cast<index_t>(id);
}

}  // namespace mql4grec
