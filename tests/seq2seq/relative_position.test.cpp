#include "mql4grec/seq2seq/relative_position.hpp"

#include <doctest/doctest.h>

#include "mql4grec/core/json.hpp"

using namespace mql4grec;

TEST_CASE(
    "relative_position_bucket: small distances have a bucket each, larger ones share, the farthest all share the "
    "last") {
  auto const both_ways = [](index_t distance) {
    return seq2seq::relative_position_bucket(distance, seq2seq::attention_direction::bidirectional, 32, 128);
  };
  auto const backwards = [](index_t distance) {
    return seq2seq::relative_position_bucket(distance, seq2seq::attention_direction::causal, 32, 128);
  };
  for (index_t distance = 0; distance < 8; ++distance) CHECK(both_ways(-distance) == distance);
  for (index_t distance = 1; distance < 8; ++distance) CHECK(both_ways(distance) == 16 + distance);
  for (index_t distance = 0; distance < 16; ++distance) CHECK(backwards(-distance) == distance);
  CHECK(both_ways(-127) == 15);
  CHECK(both_ways(-1000000) == 15);
  CHECK(both_ways(1000000) == 31);
  CHECK(backwards(-1000000) == 31);
}

TEST_CASE("relative_position_bucket: with causal attention, every key after the query counts as distance 0") {
  for (index_t distance : {1, 2, 100})
    CHECK(seq2seq::relative_position_bucket(distance, seq2seq::attention_direction::causal, 32, 128) == 0);
}

TEST_CASE("relative_position_bucket: is monotonic in the distance, and both directions are symmetric") {
  for (index_t buckets : {4, 8, 16, 32, 64})
    for (index_t max_distance : {buckets / 2 + 1, index_t{40}, index_t{128}, index_t{1000}}) {
      if (max_distance <= buckets / 2) continue;
      index_t last_both = 0, last_backwards = 0;
      for (index_t distance = 1; distance < 2 * max_distance; ++distance) {
        index_t const both = seq2seq::relative_position_bucket(-distance, seq2seq::attention_direction::bidirectional,
                                                               buckets, max_distance);
        index_t const backwards =
            seq2seq::relative_position_bucket(-distance, seq2seq::attention_direction::causal, buckets, max_distance);
        REQUIRE((both >= last_both && both < buckets / 2 && backwards >= last_backwards && backwards < buckets));
        REQUIRE(seq2seq::relative_position_bucket(distance, seq2seq::attention_direction::bidirectional, buckets,
                                                  max_distance) == both + buckets / 2);
        last_both = both, last_backwards = backwards;
      }
    }
}

TEST_CASE("relative_position_bucket: equals transformers' at every distance of the golden file") {
  std::filesystem::path const path = MQL4GREC_TEST_GOLDEN_DIR "/relative_buckets.json";
  for (auto const& one : member<json>(read_json(path), "cases", path)) {
    auto const buckets = member<index_t>(one, "buckets", path),
               max_distance = member<index_t>(one, "max_distance", path);
    auto const way = member<bool>(one, "bidirectional", path) ? seq2seq::attention_direction::bidirectional
                                                              : seq2seq::attention_direction::causal;
    auto distance = member<index_t>(one, "first", path);
    for (index_t bucket : member<std::vector<index_t>>(one, "bucket", path)) {
      CAPTURE(distance);
      CHECK(seq2seq::relative_position_bucket(distance++, way, buckets, max_distance) == bucket);
    }
  }
}

TEST_CASE("distance_buckets: distance 0 is in the middle, at longest − 1") {
  seq2seq::t5_config const config;
  std::vector<index_t> buckets(5, -1), one(1, -1);
  seq2seq::distance_buckets(seq2seq::attention_direction::bidirectional, config, view_of(std::span(buckets)));
  seq2seq::distance_buckets(seq2seq::attention_direction::causal, config, view_of(std::span(one)));
  CHECK(buckets == std::vector<index_t>{2, 1, 0, 17, 18});
  CHECK(one == std::vector<index_t>{0});
}
