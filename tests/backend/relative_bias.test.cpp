#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/gradient.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
vector<index_t> const bucket_of{2, 1, 0, 1, 2, 2, 2};  // seven distances, three buckets
}

TEST_CASE_TEMPLATE("relative_bias: a head's bias at a distance is the entry of the distance's bucket", B,
                   MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto bias = poisoned<float>(backend, {2, 7});
  relative_bias_forward<float>(backend, on(backend, matrix{{1.f, 10.f}, {2.f, 20.f}, {3.f, 30.f}}),
                               on(backend, bucket_of), bias);
  CHECK_CLOSE(bias, matrix{{3.f, 2.f, 1.f, 2.f, 3.f, 3.f, 3.f}, {30.f, 20.f, 10.f, 20.f, 30.f, 30.f, 30.f}}, 0);
}

TEST_CASE_TEMPLATE("relative_bias: a bucket's gradient is summed over its distances", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto dtable = on(backend, constant({3, 2}, 100.f));
  auto const dbias = matrix{{1.f, 1.f, 1.f, 1.f, 1.f, 1.f, 1.f}, {2.f, 2.f, 2.f, 2.f, 2.f, 2.f, 2.f}};
  relative_bias_backward<float>(backend, on(backend, bucket_of), on(backend, dbias), dtable);
  CHECK_CLOSE(dtable, matrix{{101.f, 102.f}, {102.f, 104.f}, {104.f, 108.f}}, 0);
}

TEST_CASE("relative_bias: backward is the derivative of forward") {
  reference::backend b;
  auto const table = random_normal({3, 2}, 1), weights = random_normal({2, 7}, 2);
  auto dtable = on(b, constant({3, 2}, 0.));
  relative_bias_backward<double>(b, bucket_of, weights, dtable);
  auto const of_table = [&](auto const& moved) {
    auto bias = poisoned<complex>(b, {2, 7});
    relative_bias_forward<complex>(b, moved, bucket_of, bias);
    return inner_product<complex>(*bias, as<complex>(weights));
  };
  CHECK(gradient_error(of_table, table, dtable) < 1e-12);
}
