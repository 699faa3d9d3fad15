#pragma once
#include <concepts>

namespace mql4grec {

/// Where a tensor lives. Part of every view's type, so that host and device memory never meet silently.
struct host_space {};
struct device_space {};

template <class S>
concept MemorySpace = std::same_as<S, host_space> || std::same_as<S, device_space>;

}  // namespace mql4grec
