#include "support/check_close.hpp"

#include "mql4grec/backend/contract/buffer.hpp"
#include "mql4grec/backend/contract/transfer.hpp"
#include "support/several_devices.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
bool on_a_cache_line(void const* place) { return reinterpret_cast<std::uintptr_t>(place) % 64 == 0; }
}  // namespace

TEST_CASE("buffer: is zero-initialized and aligned to a cache line") {
  buffer<float, host_space> const numbers(17);
  CHECK(numbers.size() == 17);
  CHECK(on_a_cache_line(numbers.view_all().data));
  CHECK_CLOSE(numbers.view_all(), constant(17, 0.f), 0);
}

TEST_CASE("buffer: moves without copying, and may be empty") {
  buffer<int, host_space> from(3);
  from.view_all()(2) = 5;
  int const* const place = from.view_all().data;
  buffer<int, host_space> const to = std::move(from);
  CHECK(to.view_all().data == place);
  CHECK(to.view_all()(2) == 5);
  CHECK((from.size() == 0 && from.view_all().size() == 0));
  buffer<int, host_space> other(2), third(1);
  third = std::move(other);
  CHECK((third.size() == 2 && other.size() == 0));
  CHECK(buffer<int, host_space>(0).size() == 0);
  CHECK(buffer<int, host_space>().view_all().size() == 0);
  static_assert(!std::is_copy_constructible_v<buffer<int, host_space>>);
}

TEST_CASE("copy: copies every entry, and refuses different sizes with both numbers") {
  buffer<int, host_space> from(3), to(3), longer(4);
  from.view_all()(1) = 7;
  copy(std::as_const(from).view_all(), to.view_all());
  CHECK(to.view_all()(1) == 7);
  CHECK_THROWS_WITH_AS(copy(std::as_const(from).view_all(), longer.view_all()), "copy: 3 entries into a place for 4",
                       error);
}

TEST_CASE("arena: allocations don't overlap and are aligned to a cache line") {
  host_arena arena;
  host_arena::scope const scope(arena);
  std::vector<view<float, host_space, 1>> parts;
  for (index_t n : {1, 0, 17, 300000, 5, 1000000}) {
    parts.push_back(arena.take<float>(n));
    fill(parts.back(), static_cast<float>(n));
    CHECK(on_a_cache_line(parts.back().data));
  }
  for (auto const& part : parts) CHECK_CLOSE(part, constant(part.size(), static_cast<float>(part.size())), 0);
}

TEST_CASE("arena: the end of a scope frees exactly the allocations of the scope") {
  host_arena arena;
  host_arena::scope const outer(arena);
  auto const kept = arena.take<int>(10);
  fill(kept, 1);
  int* inside = nullptr;
  {
    host_arena::scope const inner(arena);
    inside = arena.take<int>(10).data;
  }
  auto const again = arena.take<int>(10);
  CHECK(again.data == inside);
  fill(again, 2);
  CHECK_CLOSE(kept, constant(10, 1), 0);
}

TEST_CASE("arena: grows to the peak usage and then allocates no more") {
  host_arena arena;
  auto const round = [&](index_t n) {
    host_arena::scope const scope(arena);
    for (int i = 0; i < 10; ++i) arena.take<double>(n);
    {
      host_arena::scope const inner(arena);
      arena.take<double>(5 * n);
    }
    arena.take<double>(5 * n);
  };
  round(100000);
  CHECK(arena.capacity() == 0);  // was allocated in several chunks
  round(100000);
  auto const capacity = arena.capacity();
  CHECK(capacity >= 15 * 100000 * sizeof(double));
  for (index_t n : {100000, 1, 70000, 100000}) round(n);
  CHECK(arena.capacity() == capacity);
}

TEST_CASE("arena: a matrix has the requested shape and is contiguous") {
  host_arena arena;
  host_arena::scope const scope(arena);
  auto const m = arena.take<float>(3, 5);
  CHECK((m.rows() == 3 && m.columns() == 5 && m.contiguous()));
}

TEST_CASE("arena: after the first round its capacity is the peak usage, not the sum of all allocations") {
  host_arena arena;
  auto const round = [&] {
    host_arena::scope const scope(arena);
    for (int i = 0; i < 40; ++i) {
      host_arena::scope const inner(arena);
      arena.take<std::byte>((i + 1) * 100'000);
    }
  };
  round();
  round();
  CHECK(arena.capacity() >= 4'000'000);
  CHECK(arena.capacity() < 4'100'000);
}

#if MQL4GREC_HAS_THRUST
TEST_CASE("arena: the end of a scope doesn't allocate; an arena remains usable after a failed allocation") {
  auto& log = several_devices::all();
  log.clear();
  arena<device_space<several_devices>> scratch;
  auto const round = [&] {
    arena<device_space<several_devices>>::scope const scope(scratch);
    scratch.take<std::byte>(1 << 20);
    scratch.take<std::byte>(3 << 20);  // a second chunk
    log.left = 0;
  };
  CHECK_NOTHROW(round());
  CHECK_THROWS_AS(round(), error);  // the next round allocates a single chunk
  std::size_t const two_pieces = (std::size_t{4} << 20) + 2 * contract::detail::redzone;
  log.left = two_pieces;
  CHECK_NOTHROW(round());
  CHECK(scratch.capacity() == two_pieces);
  CHECK_NOTHROW(round());  // no memory is left, and none is requested
  log.clear();
}
#endif
