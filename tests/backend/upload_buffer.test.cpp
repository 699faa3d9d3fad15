#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/tensors.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

#if defined(MQL4GREC_TEST_DEVICE_BACKENDS)
TEST_CASE_TEMPLATE("upload_buffer: an upload contains what was written before it, and nothing written afterwards", B,
                   MQL4GREC_TEST_DEVICE_BACKENDS) {
  constexpr index_t n = 100'000;  // so that an upload takes longer than its enqueueing
  B b;
  auto from = upload_buffer<B, float>(b, n);
  auto first = poisoned<float>(b, n), second = poisoned<float>(b, n), part = poisoned<float>(b, 3);
  auto const write = [&](float value) {
    auto const values = from.values();
    CHECK(values.size() == n);
    fill(values, value);
    values(2) = 2 * value;
  };
  write(1);
  from.upload(b, first);
  write(5);
  from.upload(b, part);
  from.upload(b, second);
  write(-1);
  auto const expected = [](index_t size, float value) {
    auto all = constant(size, value);
    all.values[2] = 2 * value;
    return all;
  };
  CHECK_CLOSE(first, expected(n, 1), 0);
  CHECK_CLOSE(second, expected(n, 5), 0);
  CHECK_CLOSE(part, expected(3, 5), 0);
}

TEST_CASE_TEMPLATE("upload_buffer: may be destroyed while the device reads it, and may be empty", B,
                   MQL4GREC_TEST_DEVICE_BACKENDS) {
  B b;
  auto to = poisoned<double>(b, 50'000), nothing = poisoned<double>(b, 0);
  {
    auto from = upload_buffer<B, double>(b, 50'000);
    fill(from.values(), 0.5);
    from.upload(b, to);
    from.upload(b, nothing);
    upload_buffer<B, double>(b, 0).upload(b, nothing);
    CHECK(upload_buffer<B, double>(b, 0).values().size() == 0);
  }
  CHECK_CLOSE(to, constant(50'000, 0.5), 0);
}

TEST_CASE_TEMPLATE("upload_buffer: exceeding its size is an error with both numbers", B,
                   MQL4GREC_TEST_DEVICE_BACKENDS) {
  B b;
  auto from = upload_buffer<B, float>(b, 3);
  auto to = poisoned<float>(b, 4);
  CHECK_THROWS_WITH_AS(from.upload(b, to), "upload: 3 entries into a place for 4", error);
}
#endif
