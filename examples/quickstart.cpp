// The whole system in memory, on the built-in synthetic catalog, within seconds:
//   1. a dataset: interactions, and the token sequence of every item
//   2. training of a small T5 to predict the next item
//   3. evaluation on held-out interactions, against popularity
//   4. recommendations for one user
#include <cstdio>
#include <mql4grec/catalog/synthetic.hpp>
#include <mql4grec/mql4grec.hpp>

using namespace mql4grec;

/// A synthetic shop as a dataset: the interactions, and each item's four codes per modality as tokens.
dataset make_dataset(vocabulary const& vocab) {
  auto const shop = catalog::make_synthetic_dataset({.items = 200, .users = 800}, 0);
  dataset data{.interactions = shop.interactions, .items = shop.items, .name = shop.name};
  for (auto const kind : {modality::text, modality::image})
    data.tokens.push_back(to_tokens(view_of(shop.codes[static_cast<std::size_t>(kind)]), vocab, kind));
  return data;
}

int main() {
  vocabulary const vocab({.modalities = {{"a", {16, 16, 16, 16}}, {"A", {16, 16, 16, 16}}}});
  auto const data = make_dataset(vocab);

  // example-begin quickstart
  mixture const tasks = next_only();  // predict the next item from the history, in text and in images
  training_set const examples(tasks, {data}, vocab);
  validation_set const held_out(tasks, {data}, vocab);

  cpu::backend backend(0);  // 0: all threads of the machine
  t5<cpu::backend, float> model(backend, {.vocabulary = vocab.size(),
                                          .model_width = 32,
                                          .head_width = 16,
                                          .heads = 2,
                                          .inner_width = 64,
                                          .encoder_layers = 1,
                                          .decoder_layers = 1});
  initialize(model, 42);
  trainer<cpu::backend, float> t5_trainer(
      backend, model, {.epochs = 8, .batch_size = 32, .learning_rate = 4e-3, .warmup = 0.05, .dropout = 0});
  training_progress progress;
  fit(t5_trainer, examples, held_out, progress);

  frozen_t5 frozen(backend, std::move(model));  // for inference only
  auto const evaluation = evaluate(backend, frozen, {vocab, tasks}, data);
  recommender<> const service(std::move(frozen), {vocab, tasks}, data.tokens);
  ranking const best = service.recommend(data.interactions.of(user_id{7}), 5);  // safe to call from any thread
  // example-end quickstart

  // The baseline: the same ten most popular items for everybody.
  auto const popular = popularity(data.interactions, 10);
  metrics::metric_accumulator baseline;
  for (auto const user : catalog::evaluated_users(data.interactions))
    baseline.add(metrics::place_of(popular, catalog::target(data.interactions, user, split::test)));
  std::printf("%lld users, %lld examples, %lld epochs, validation loss %.3f\n",
              static_cast<long long>(data.interactions.users()), static_cast<long long>(examples.size()),
              static_cast<long long>(progress.epoch), progress.best_loss);
  std::printf("HR@10: text %.3f, image %.3f, ensemble %.3f; popularity %.3f\n",
              evaluation.result.of(modality::text).sequence->hit(10),
              evaluation.result.of(modality::image).sequence->hit(10), evaluation.result.ensemble.sequence->hit(10),
              baseline.mean().hit(10));

  std::puts("\nThe last items of user 7:");
  for (auto const item : data.interactions.of(user_id{7}).last(3))
    std::printf("     %s\n", data.items.at(item).title.c_str());
  std::puts("Recommended next:");
  for (std::size_t i = 0; i < best.items.size(); ++i)
    std::printf("  %zu. %-32s %6.3f\n", i + 1, data.items.at(best.items[i]).title.c_str(), best.scores[i]);
  return evaluation.result.ensemble.sequence->hit(10) > 2 * baseline.mean().hit(10) ? 0 : 1;
}
