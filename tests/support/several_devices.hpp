#pragma once
// A Thrust system whose memory is the host's, with several devices: what was allocated for which, and opened with which
// options, is known. Memory can be made to run out. So it is tested without a GPU that work goes to the device it was
// opened on.
#if MQL4GREC_HAS_THRUST
#include <map>
#include <mutex>

#include "mql4grec/backend/contract/precision.hpp"
#include "mql4grec/backend/gpu/gpu.hpp"

namespace mql4grec::test {

struct several_devices : gpu::detail::host_system {
  struct options {
    int device = 0;
    precision products = precision::fp32;
    bool operator==(options const&) const = default;
  };

  /// What has happened so far, of all threads.
  struct log {
    std::mutex mutex;
    std::vector<options> opened;
    std::map<int, std::size_t> bytes;                 ///< allocated for a device, ever
    std::size_t left = static_cast<std::size_t>(-1);  ///< bytes that can still be allocated

    void clear() {
      std::lock_guard const lock(mutex);
      opened.clear();
      bytes.clear();
      left = static_cast<std::size_t>(-1);
    }
  };
  static log& all() {
    static log one;
    return one;
  }

  struct context : gpu::detail::host_system::context {
    explicit context(options const& how)
        : gpu::detail::host_system::context(gpu::detail::host_system::options()), how_(how) {
      std::lock_guard const lock(all().mutex);
      all().opened.push_back(how);
    }
    options const& how() const { return how_; }

   private:
    options how_;
  };
  static int& current_device() {
    thread_local int device = 0;
    return device;
  }
  static void enter(context const& c) { current_device() = c.how().device; }
  static void* allocate(std::size_t bytes) {
    std::lock_guard const lock(all().mutex);
    expects(bytes <= all().left, "memory of device ", current_device(), ": ", bytes, " bytes requested, ", all().left,
            " left");
    all().left -= bytes;
    all().bytes[current_device()] += bytes;
    return gpu::detail::host_system::allocate(bytes);
  }
  static auto policy(context const&) { return thrust::cpp::par; }
};

}  // namespace mql4grec::test
#endif
