#include "mql4grec/tasks/batch.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

using namespace mql4grec;

namespace {
std::vector<token_t> tokens(std::vector<int> const& numbers) {
  std::vector<token_t> out;
  for (auto const n : numbers) out.push_back(token_t(n));
  return out;
}
}  // namespace

TEST_CASE("batch: sequences are packed contiguously and each ends with </s>") {
  tasks::batch b;
  CHECK(b.size() == 0);
  b.append(tokens({5, 6, 7}), tokens({8}));
  b.append(tokens({}), tokens({9, 10}));
  CHECK(b.size() == 2);
  CHECK(b.inputs == tokens({5, 6, 7, 1, 1}));
  CHECK(b.input_offsets == std::vector<index_t>{0, 4, 5});
  CHECK(b.targets == tokens({8, 1, 9, 10, 1}));
  CHECK(b.target_offsets == std::vector<index_t>{0, 2, 5});
  CHECK(std::ranges::equal(b.input(1), tokens({1})));
  CHECK(std::ranges::equal(b.target(0), tokens({8, 1})));
  CHECK_THROWS_AS(b.input(2), error);
}

TEST_CASE("batch: a query has an input and no target") {
  tasks::batch b;
  b.add_input(token_t{5});
  b.close_input();
  CHECK(b.size() == 1);
  CHECK(b.targets.empty());
  CHECK_THROWS_AS(b.target(0), error);
}

TEST_CASE("batch: refilling to the same size allocates nothing") {
  tasks::batch b;
  auto const fill = [&] {
    for (int i = 0; i < 100; ++i) b.append(tokens({2, 3, 4, 5}), tokens({6, 7}));
  };
  fill();
  auto const first = b;
  token_t const* places[] = {b.inputs.data(), b.targets.data()};
  index_t const* offsets[] = {b.input_offsets.data(), b.target_offsets.data()};
  b.clear();
  CHECK(b == tasks::batch{});
  fill();
  CHECK(b == first);
  CHECK(places[0] == b.inputs.data());
  CHECK(places[1] == b.targets.data());
  CHECK(offsets[0] == b.input_offsets.data());
  CHECK(offsets[1] == b.target_offsets.data());
}
