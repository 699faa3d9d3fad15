#pragma once
// A Thrust system for tests whose groups are what they are on a GPU: threads that run at the same time and wait for
// each other at the end of a phase. Under the thread sanitizer it finds what one member reads while another writes it,
// which a host system, where one thread plays all members, can't.
#include <atomic>
#include <barrier>
#include <thread>
#include <vector>

#include "mql4grec/backend/gpu/gpu.hpp"

namespace mql4grec::test {

/// The counterpart of gpu::host_thread_group and gpu::device_thread_group, member by member; a thread each.
template <int Threads>
class thread_group {
 public:
  static constexpr int threads = Threads;

  template <class T>
  class local {
   public:
    T& operator[](int) { return value_; }
    T const& operator[](int) const { return value_; }

   private:
    T value_{};
  };

  static constexpr std::size_t most_bytes = 64;  ///< of a value that members exchange

  /// `places`: room for such a value of each member.
  thread_group(std::byte* shared, std::byte* places, std::barrier<>& all, int thread)
      : shared_(shared), places_(places), all_(all), thread_(thread) {}

  template <class Phase>
  void each(Phase&& phase) {
    phase(thread_);
    all_.arrive_and_wait();
  }
  template <class Phase>
  void load(Phase&& phase) {
    each(phase);
  }
  template <int Bytes>
  static void copy_async(void const* from, void* to) {
    std::memcpy(to, from, Bytes);
  }
  template <class T>
  T* share(index_t n) {
    T* const room = reinterpret_cast<T*>(shared_);
    shared_ += gpu::detail::shared_bytes_of<T>(n);
    return room;
  }
  template <class T>
  T sum(local<T> const& values) {
    return reduce(values, [](T x, T y) { return x + y; });
  }
  template <class T>
  T max(local<T> const& values) {
    return reduce(values, [](T x, T y) { return y > x ? y : x; });
  }
  template <class T, class Op>
  T reduce(local<T> const& values, Op op) {
    return reduce_from(values, 0, Threads, op);
  }
  template <int Members, class T, class Op>
  local<T> reduce_among(local<T> const& values, Op op) {
    local<T> all;
    all[thread_] = reduce_from(values, thread_ / Members * Members, Members, op);
    return all;
  }
  template <std::integral T>
  T exclusive_scan(local<T>& values) {
    T const* const all = publish(values);
    T total{}, mine{};
    for (int i = 0; i < Threads; ++i) {
      if (i == thread_) mine = total;
      total += all[i];
    }
    all_.arrive_and_wait();
    values[thread_] = mine;
    return total;
  }
  template <class T>
  T read(T const* place) {
    T const value = *place;
    all_.arrive_and_wait();
    return value;
  }
  static int atomic_increment(int* next) { return std::atomic_ref<int>(*next).fetch_add(1, std::memory_order_relaxed); }

 private:
  template <class T>
  T const* publish(local<T> const& values) {
    static_assert(sizeof(T) <= most_bytes);
    T* const all = reinterpret_cast<T*>(places_);
    all[thread_] = values[thread_];
    all_.arrive_and_wait();
    return all;
  }
  template <class T, class Op>
  T reduce_from(local<T> const& values, int first, int count, Op op) {
    T const* const all = publish(values);
    T value = all[first];
    for (int i = 1; i < count; ++i) value = op(value, all[first + i]);
    all_.arrive_and_wait();  // the next one writes there again
    return value;
  }

  std::byte *shared_, *places_;
  std::barrier<>& all_;
  int thread_;
};

/// Memory of the host, groups of threads. Not a HostSystem: kernels must not be played by one.
struct threads {
  using host = gpu::detail::host_system;
  using options = host::options;
  using context = host::context;

  static void* allocate(std::size_t bytes) { return host::allocate(bytes); }
  static void deallocate(void* memory) noexcept { host::deallocate(memory); }
  static void clear(void* memory, std::size_t bytes) { host::clear(memory, bytes); }
  static void copy_from_host(void const* from, void* to, std::size_t bytes) { std::memcpy(to, from, bytes); }
  static void copy_to_host(void const* from, void* to, std::size_t bytes) { std::memcpy(to, from, bytes); }
  static void copy_within(void const* from, void* to, std::size_t bytes) { std::memmove(to, from, bytes); }
  static void upload(context&, void const* from, void* to, std::size_t bytes) { std::memcpy(to, from, bytes); }
  static void download(context const&, void const* from, void* to, std::size_t bytes) { std::memcpy(to, from, bytes); }
  static void enter(context const&) {}
  static auto policy(context const&) { return thrust::cpp::par; }

  template <class Kernel>
  static void run_groups(context const&, index_t groups, Kernel const& kernel) {
    constexpr int members = Kernel::threads;
    std::vector<std::max_align_t> shared(kernel.shared_bytes() / sizeof(std::max_align_t) + 1);
    std::vector<std::max_align_t> places(members * thread_group<members>::most_bytes / sizeof(std::max_align_t));
    std::barrier<> all(members);
    std::vector<std::thread> running;
    for (int t = 0; t < members; ++t)
      running.emplace_back([&, t] {
        for (index_t number = 0; number < groups; ++number) {
          thread_group<members> group(reinterpret_cast<std::byte*>(shared.data()),
                                      reinterpret_cast<std::byte*>(places.data()), all, t);
          kernel(group, number);
          all.arrive_and_wait();
        }
      });
    for (auto& thread : running) thread.join();
  }
};

}  // namespace mql4grec::test
