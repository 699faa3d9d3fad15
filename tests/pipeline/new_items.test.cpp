// New items of the built-in catalog: a model is trained until a time before anybody interacted with them, and tested on
// what happens then.
#include <doctest/doctest.h>

#include <string>

#include "core/temporary_directory.hpp"
#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/catalog/split.hpp"
#include "mql4grec/catalog/synthetic.hpp"
#include "mql4grec/language/to_tokens.hpp"
#include "mql4grec/pipeline/evaluate.hpp"
#include "mql4grec/pipeline/train.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
bool comes_later(item_id item) { return index(item) % 10 == 3; }

/// Every tenth item is new at time 1; of each user, the first new item and what follows is at time 1, and otherwise the
/// last item.
tasks::dataset shop_with_new_items(language::vocabulary const& vocab) {
  auto const shop = catalog::make_synthetic_dataset({.users = 1200}, 3);
  tasks::dataset data{.interactions = shop.interactions, .tokens = {}, .items = shop.items, .name = shop.name};
  for (std::size_t m = 0; m < 2; ++m)
    data.tokens.push_back(language::to_tokens(view_of(shop.codes[m]), vocab, language::modality(m)));
  std::vector<double> times;
  for (index_t u = 0; u < data.interactions.users(); ++u) {
    auto const items = data.interactions.of(user_id(u));
    double now = 0;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (comes_later(items[i]) || i + 1 == items.size()) now = 1;
      times.push_back(now);
    }
  }
  catalog::split_by_time(data.interactions, times, 1);
  return data;
}

std::string text_of(metrics::user_group const& group) {
  auto const& m = group.ensemble.item.value();
  return group.name + ": " + std::to_string(group.users) + " users, HR@1 " + std::to_string(m.hit(1)) + ", HR@10 " +
         std::to_string(m.hit(10)) + ", NDCG@10 " + std::to_string(m.ndcg(10));
}
}  // namespace

TEST_CASE("new items: drafted through their prefixes they are found more often than in a list of all items" *
          doctest::test_suite("slow")) {
  temporary_directory const root;
  language::vocabulary const vocab;
  auto const data = shop_with_new_items(vocab);
  cpu::backend b;
  pipeline::train_model(
      b,
      {.out = root / "model",
       .training = {.epochs = 3, .batch_size = 64, .learning_rate = 4e-3, .warmup = 0.05, .dropout = 0},
       .model = {.model_width = 64,
                 .head_width = 16,
                 .heads = 4,
                 .inner_width = 256,
                 .encoder_layers = 2,
                 .decoder_layers = 2}},
      {.datasets = {data}, .vocab = vocab});
  auto const found = pipeline::evaluate(b, seq2seq::frozen_t5(b, seq2seq::read_model<float>(b, root / "model")),
                                        pipeline::tasks_of(pipeline::read_model_metadata(root / "model"), ""), data,
                                        {.draft = search::draft_options{}})
                         .result;
  REQUIRE(found.groups.size() == 3);
  for (auto const& group : found.groups) MESSAGE(text_of(group));
  auto const& cold = found.groups[1];
  auto const& drafted = found.groups[2];
  CHECK(cold.users == drafted.users);
  CHECK(cold.users > 300);
  double const chance = 10.0 / 40;  // ten of the 40 new items
  CHECK(drafted.ensemble.item->hit(10) > 2 * chance);
  CHECK(drafted.ensemble.item->hit(10) > 1.2 * cold.ensemble.item->hit(10));
}
