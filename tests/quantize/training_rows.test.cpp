#include "mql4grec/quantize/rq_vae/training_rows.hpp"

#include <doctest/doctest.h>

#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
/// Features that throw when row `broken` is read.
struct broken_features {
  embed::matrix_features all;
  index_t broken;

  index_t rows() const { return all.rows(); }
  index_t width() const { return all.width(); }
  void read(index_t first, host_matrix_view<float> out) const { all.read(first, out); }
  void gather(std::span<index_t const> wanted, host_matrix_view<float> out) const {
    if (std::ranges::find(wanted, broken) != wanted.end()) raise("row ", broken, " can't be read");
    all.gather(wanted, out);
  }
};
}  // namespace

TEST_CASE_TEMPLATE(
    "training_rows: the requested rows, whether features are on the device, read ahead, or read on demand", B,
    MQL4GREC_TEST_BACKENDS) {
  auto const values = random_normal<float>({300, 7}, 1);
  embed::matrix_features const features(values);
  for (index_t const device_bytes : {index_t{0}, index_t{300 * 7 * 4 - 1}, index_t{300 * 7 * 4}}) {
    B b;
    quantize::training_rows<B, embed::matrix_features> rows(b, features, 64, device_bytes);
    for (std::int64_t epoch = 0; epoch < 2; ++epoch) {
      auto const order = epoch_order(300, 3, static_cast<std::uint64_t>(epoch));
      for (std::size_t first = 0; first < order.size(); first += 64) {
        auto const part = [&](std::size_t begin) {
          begin = std::min(begin, order.size());
          return std::span(order).subspan(begin, std::min<std::size_t>(64, order.size() - begin));
        };
        matrix<float> expected({std::ssize(part(first)), 7}, {});
        for (auto const row : part(first))
          expected.values.insert(expected.values.end(), values.values.begin() + row * 7,
                                 values.values.begin() + row * 7 + 7);
        CHECK_CLOSE(rows.take(b, part(first), part(first + 64)), expected, 0);
      }
    }
  }
}

TEST_CASE_TEMPLATE("training_rows: the exception of a failed read is rethrown when the rows are requested", B,
                   MQL4GREC_TEST_BACKENDS) {
  auto const values = random_normal<float>({10, 2}, 1);
  broken_features const features{embed::matrix_features(values), 7};
  B b;
  quantize::training_rows<B, broken_features> rows(b, features, 4, 0);
  std::vector<index_t> const good{1, 2}, bad{3, 7};
  rows.take(b, good, bad);
  CHECK_THROWS_WITH_AS(rows.take(b, bad, good), "row 7 can't be read", error);
}
