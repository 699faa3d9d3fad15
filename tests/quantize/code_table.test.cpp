#include "mql4grec/quantize/codebook/code_table.hpp"

#include <doctest/doctest.h>

#include <array>

#include "mql4grec/quantize/codebook/usage.hpp"

using namespace mql4grec;

namespace {
using row = std::array<code_t, 2>;
constexpr row codes_of(std::int32_t a, std::int32_t b) { return {code_t(a), code_t(b)}; }
}  // namespace

TEST_CASE("code_table: items are missing until they are set, and after they are removed") {
  quantize::code_table table(3, {4, 5});
  CHECK_FALSE(table.has(item_id{1}));
  table.set(item_id{1}, codes_of(3, 4));
  CHECK(table.has(item_id{1}));
  CHECK(std::ranges::equal(table.of(item_id{1}), codes_of(3, 4)));
  CHECK(table.of(item_id{0}).empty());
  CHECK(table.of(item_id{7}).empty());
  table.remove(item_id{1});
  CHECK_FALSE(table.has(item_id{1}));
  CHECK(table == quantize::code_table(3, {4, 5}));
}

TEST_CASE("code_table: a code outside its level is refused with the item, the level and the bound") {
  quantize::code_table table(3, {4, 5});
  CHECK_THROWS_WITH_AS(table.set(item_id{2}, codes_of(4, 0)), "item 2, level 0: code 4, expected 0 to 3", error);
  CHECK_THROWS_WITH_AS(table.set(item_id{2}, codes_of(0, -1)), "item 2, level 1: code -1, expected 0 to 4", error);
  CHECK_THROWS_WITH_AS(table.set(item_id{3}, codes_of(0, 0)), "item 3 of a code table of 3 items", error);
  CHECK_THROWS_WITH_AS(table.set(item_id{0}, std::array{code_t{0}}), "item 0 has 1 codes, expected 2", error);
  CHECK_FALSE(table.has(item_id{2}));
}

TEST_CASE("usage: evenly used codes have a perplexity equal to their number, and a single code has 1") {
  quantize::code_table table(5, {4, 5});
  for (std::int32_t i = 0; i < 4; ++i) table.set(item_id{i}, codes_of(i, 2));
  auto const usage = quantize::code_usage(table);  // the fifth item is missing and isn't counted
  CHECK(usage[0].used == 4);
  CHECK(usage[0].perplexity == doctest::Approx(4));
  CHECK(usage[1].used == 1);
  CHECK(usage[1].perplexity == doctest::Approx(1));
  CHECK(quantize::code_usage(quantize::code_table(3, {2}))[0] ==
        quantize::level_usage{.codes = 2, .used = 0, .perplexity = 0});
}
