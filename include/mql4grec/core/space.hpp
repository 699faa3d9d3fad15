#pragma once

namespace mql4grec {

/// Where a tensor lives. Part of every view's type, so that host and device memory never meet silently.
struct host_space {};
/// The memory of a Thrust system, see backend/gpu/runtime/system.hpp. Each system has a space of its own, those too
/// whose memory a host could read: code that is right for one of them is right for a GPU.
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

template <class S>
concept MemorySpace = detail::is_memory_space<S>;

}  // namespace mql4grec
