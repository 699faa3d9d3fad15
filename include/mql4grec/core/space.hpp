#pragma once
// Memory spaces. A view's type contains its space, so that host and device memory can't be confused.

namespace mql4grec {
inline namespace core {

/// Host memory.
struct host_space {};
/// The memory of a Thrust system; see backend/gpu/runtime/system.hpp. Each system has its own space, even if the host
/// could read its memory: code that compiles for one of them is correct on a GPU.
template <class System>
struct device_space {};

namespace detail {
template <class S>
inline constexpr bool is_memory_space = false;
template <>
inline constexpr bool is_memory_space<host_space> = true;
template <class System>
inline constexpr bool is_memory_space<device_space<System>> = true;
}  // namespace detail

/// host_space or a device_space.
template <class S>
concept MemorySpace = detail::is_memory_space<S>;

}  // namespace core
}  // namespace mql4grec
