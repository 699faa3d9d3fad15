// What a recommender's model was frozen on, its device and its precision, holds for the requests of every thread.
#include <doctest/doctest.h>

#include <thread>

#include "mql4grec/recommender.hpp"
#include "support/instruction_sets.hpp"
#include "support/several_devices.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
language::vocabulary const& vocab() {
  static language::vocabulary const small({.modalities = {{"a", {5, 4}}}});
  return small;
}
language::token_table table() {
  language::token_table all(language::modality::text, 20, 2);
  for (std::int32_t i = 0; i < 20; ++i) {
    token_t const sequence[] = {vocab().token(language::modality::text, 0, code_t{i / 4}),
                                vocab().token(language::modality::text, 1, code_t{i % 4})};
    all.set(item_id{i}, sequence);
  }
  return all;
}
template <Backend B>
recommender<B> service_on(B& b) {
  auto config = small_t5();
  config.vocabulary = vocab().size();
  return {b, random_t5<float>(b, config), {vocab(), tasks::next_only()}, {table()}};
}
}  // namespace

TEST_CASE(
    "recommender: requests of any thread are answered with the precision of the backend that the model was frozen on") {
  cpu::backend rounding(3, precision::bf16), exact(3);
  CHECK(rounding.worker_options() == cpu::backend::options{.threads = 1, .products = precision::bf16});
  CHECK(exact.worker_options() == cpu::backend::options{});
  item_id const history[] = {item_id{3}, item_id{7}};
  for_each_bf16_product([&] {
    auto const in_bf16 = service_on(rounding), in_fp32 = service_on(exact);
    cpu::backend one(1, precision::bf16);
    rank::ranking actual, expected = in_bf16.recommend(history, 20);
    std::thread([&] { actual = in_bf16.recommend(history, 20); }).join();
    CHECK(actual == expected);
    CHECK(actual.scores != in_fp32.recommend(history, 20).scores);  // factors were rounded
    CHECK(service_on(one).recommend(history, 20) == expected);
  });
}

#if MQL4GREC_HAS_THRUST
TEST_CASE(
    "recommender: requests of any thread are answered on the device of the backend that the model was frozen on") {
  using device = gpu::backend<several_devices>;
  auto& log = several_devices::all();
  log.clear();
  several_devices::options const second{.device = 1, .products = precision::bf16};
  device b(second);
  auto const service = service_on(b);
  rank::ranking first, later;
  std::thread([&] {
    first = service.recommend({}, 5);
    later = service.recommend({}, 5);
  }).join();
  CHECK(first.size() == 5);
  CHECK(later == first);
  REQUIRE(log.opened.size() == 2);  // ours, and the thread's
  CHECK(log.opened[1] == second);
  CHECK(log.bytes.size() == 1);
  CHECK(log.bytes.contains(1));

  log.clear();  // a thread that calls recommenders on two devices alternately
  device a({.device = 0});
  auto const other = service_on(a);
  CHECK(other.recommend({}, 5) == first);
  CHECK(service.recommend({}, 5) == first);
  REQUIRE(log.opened.size() == 3);
  CHECK(log.opened[1] == several_devices::options{});
  CHECK(log.opened[2] == second);
  log.clear();
}
#endif
