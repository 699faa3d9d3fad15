// The recipes of docs/cookbook.md on training, evaluation and recommendations.
// example-begin includes
#include <mql4grec/mql4grec.hpp>

using namespace mql4grec;
// example-end includes

#include <doctest/doctest.h>

#include <thread>

#include "cookbook/shop.hpp"
#include "core/temporary_directory.hpp"
#include "mql4grec/core/json.hpp"

using namespace mql4grec::test;

namespace {

// example-begin own_task
/// The item that came before an item, in text.
struct previous_item {
  tasks::prompt_range prompt = {6, 3};  // the prompt tokens <*_6> … <*_8> mark the task

  void each_example(dataset const& data, split part, tasks::example_sink const& sink) const {
    if (part != split::train) return;
    for (std::int32_t u = 0; u < data.interactions.users(); ++u)
      for (std::int32_t p = 1; p < std::ssize(catalog::training_items(data.interactions, user_id{u})); ++p)
        sink({.row = u, .position = p});
  }
  void write(tasks::task_context const& context, tasks::example_place place, random_stream&, tasks::batch& out) const {
    auto const items = context.data.interactions.of(user_id{place.row});
    auto const& tokens = context.data.table(modality::text);
    prompt.write(context.vocab, out);
    out.add_input(tokens.of(items[to_size(place.position)]));
    out.close_input();
    out.add_target(tokens.of(items[to_size(place.position) - 1]));
    out.close_target();
  }
};
static_assert(tasks::Task<previous_item>);
// example-end own_task

// example-begin own_query
/// The next item after the last one, which is read in both modalities.
struct after_last_item {
  modality to = modality::text;

  void each_example(dataset const& data, split part, tasks::example_sink const& sink) const {
    tasks::next_item{.from = to, .to = to, .max_history = 1}.each_example(data, part, sink);
  }
  void write_query(std::span<item_id const> history, tasks::query_context const& context, tasks::batch& out) const {
    if (!history.empty())
      for (auto const kind : {modality::text, modality::image}) out.add_input(context.table(kind).of(history.back()));
    out.close_input();
  }
};
static_assert(tasks::QueryTask<after_last_item>);
// example-end own_query

// example-begin own_fusion
/// The lists one after another: images only complete the list of texts.
struct text_first {
  ranking fuse(std::span<ranking const> lists) const {
    ranking out;
    for (auto const& list : lists)
      for (auto const item : list.items)
        if (std::ranges::find(out.items, item) == out.items.end()) out.add(item, -static_cast<double>(out.size()));
    return out;
  }
  bool operator==(text_first const&) const = default;
};
static_assert(FusionPolicy<text_first>);
// example-end own_fusion

/// A dataset directory.
void write_shop(std::filesystem::path const& directory) {
  dataset const shop = shop_dataset();
  catalog::dataset_paths const paths(directory);
  make_directory(directory);
  catalog::write_interactions(paths.interactions(), shop.interactions);
  for (auto const kind : {modality::text, modality::image})
    language::write_token_table(pipeline::index_path(paths, kind), shop.table(kind), shop_vocabulary());
}

recommender<> untrained_recommender() {
  cpu::backend backend;
  return {backend, untrained_model(backend), {shop_vocabulary(), next_only()}, shop_dataset().tokens};
}

}  // namespace

TEST_CASE("cookbook: a T5 trained in memory") {
  auto const data = shop_dataset();
  auto const& vocab = shop_vocabulary();
  auto const shape = small_shape(vocab);
  temporary_directory const root;
  auto const directory = root / "model";
  // example-begin train
  mixture const tasks = next_only();  // or all_tasks(), the paper's six
  training_set const examples(tasks, {data}, vocab);
  validation_set const held_out(tasks, {data}, vocab);

  cpu::backend backend(2);
  t5<cpu::backend, float> model(backend, shape);
  initialize(model, 42);
  training_options const options{.epochs = 3, .batch_size = 64, .learning_rate = 3e-3};
  trainer<cpu::backend, float> t5_trainer(backend, model, options);
  training_progress progress;
  fit(t5_trainer, examples, held_out, progress);
  double const loss = progress.best_loss;  // validation loss in nats per token

  write_model(directory, model);  // config.json and model.safetensors, as save_pretrained() of transformers
  // example-end train
  CHECK(progress.epoch == 3);
  CHECK(loss < 6);

  // example-begin evaluate
  frozen_t5 const frozen(backend, std::move(model));  // for inference only
  evaluation_options const how{.part = split::valid, .at = {1, 20}, .users = 50, .fusion = calibrated{.sharpness = 5}};
  evaluation const evaluated = evaluate(backend, frozen, {vocab, tasks}, data, how);
  report const& result = evaluated.result;
  double const hit = result.ensemble.sequence->hit(20);          // of the fused lists, as in the paper
  double const ndcg = result.of(modality::text).item->ndcg(20);  // of the lists from text, by item
  write_json(directory / "report.json", json(result));
  // example-end evaluate
  CHECK(result.users == 50);
  CHECK(hit > 0.2);  // more than 20 of 100 items by chance
  CHECK((ndcg > 0 && ndcg <= 1));
  CHECK(std::filesystem::exists(directory / "report.json"));
}

TEST_CASE("cookbook: progress of a training, and stopping it") {
  auto const data = shop_dataset();
  auto const& vocab = shop_vocabulary();
  training_set const examples(next_only(), {data}, vocab);
  validation_set const held_out(next_only(), {data}, vocab);
  cpu::backend backend;
  auto model = untrained_model(backend);
  trainer<cpu::backend, float> t5_trainer(backend, model, {.epochs = 3, .batch_size = 256});
  // example-begin observe
  std::vector<double> losses;
  training_progress progress;
  seq2seq::training_observer const observer{
      .on_epoch = [&](training_progress const& p, bool) { losses.push_back(p.history.back().valid_loss); },
      .should_stop = [](training_progress const& p) { return p.epoch == 2; }};
  fit(t5_trainer, examples, held_out, progress, observer);  // stops after two of three epochs
  bool const stopped = !progress.finished;
  fit(t5_trainer, examples, held_out, progress);  // continues with the third
  // example-end observe
  CHECK(stopped);
  CHECK(losses.size() == 2);
  CHECK(progress.epoch == 3);
}

TEST_CASE("cookbook: own tasks") {
  auto const data = shop_dataset();
  auto const& vocab = shop_vocabulary();
  // example-begin own_mixture
  training_set const six_tasks(all_tasks(), {data}, vocab);  // those of the paper's fine-tuning

  mixture tasks = next_only({.max_history = 10});
  tasks.tasks.push_back(previous_item{});
  training_set const examples(tasks, {data}, vocab);
  // example-end own_mixture
  training_set const without(next_only(), {data}, vocab);
  CHECK(2 * examples.size() == 3 * without.size());
  CHECK(six_tasks.size() > 2 * without.size());
  tasks::batch out;
  examples.write(examples.size() - 1, 42, 0, out);
  CHECK(out.targets.size() == 5);  // four codes and </s>

  cpu::backend backend;
  // example-begin use_own_query
  tasks.queries = {after_last_item{modality::text}, after_last_item{modality::image}};
  recommender<> const service(backend, untrained_model(backend), {vocab, tasks}, data.tokens);
  // example-end use_own_query
  CHECK(service.recommend(data.interactions.of(user_id{0}), 5).size() == 5);
}

TEST_CASE("cookbook: a run in a directory, interrupted and resumed; a recommender of its model") {
  temporary_directory const root;
  auto const model_directory = root / "model", shop_directory = root / "Shop";
  write_shop(shop_directory);
  int updates = 0;
  // example-begin train_model
  vocabulary const vocab = vocabulary_of({shop_directory}, {.modalities = {{"a", {16}}, {"A", {16}}}});
  dataset const data = read_dataset(shop_directory, vocab);
  pipeline::run_options run{.out = model_directory,
                            .tasks = "next",  // or "all", or a list; see pipeline::mixture_named
                            .training = {.epochs = 2, .batch_size = 64, .learning_rate = 3e-3},
                            .model = small_shape(vocab)};
  cpu::backend backend(2);
  pipeline::run_observer const observer{.interrupted = [&] { return ++updates == 5; }};
  auto result = train_model(backend, run, {{data}, vocab}, observer);
  bool const interrupted = result.status == train::run_status::interrupted;

  run.resume = true;  // ends with the same bits as an uninterrupted run
  result = train_model(backend, run, {{data}, vocab});
  // example-end train_model
  CHECK(interrupted);
  CHECK(result.progress.finished);

  // example-begin load
  auto const service = recommender<>::load(model_directory, shop_directory);
  auto const history = data.interactions.of(user_id{0});
  ranking const best = service.recommend(history, 5);  // const: any number of threads may call it
  item_id const first = best.items.front();            // and its score, best.scores.front()
  // example-end load
  CHECK(best.size() == 5);
  CHECK(index(first) < 100);

  // example-begin load_options
  auto const wide = recommender<>::load(model_directory, shop_directory,
                                        {.backend = {.products = precision::bf16},
                                         .search = {.beams = 50, .normalize = search::normalization::children},
                                         .fusion = calibrated{}});
  // example-end load_options
  CHECK(wide.recommend(history, 5).size() == 5);

  // example-begin init
  pipeline::run_options const tuning{.out = model_directory / "tuned",
                                     .tasks = "all",
                                     .training = {.epochs = 1, .batch_size = 64},
                                     .init = model_directory};  // from here, or from transformers
  train_model(backend, tuning, {{data}, vocab});
  // example-end init
  CHECK(std::filesystem::exists(model_directory / "tuned" / "model.safetensors"));
}

TEST_CASE("cookbook: a model of transformers") {
  auto const directory = std::filesystem::path(MQL4GREC_TEST_GOLDEN_DIR) / "t5_gated_gelu_tied";
  // example-begin read_model
  cpu::backend backend;
  auto const model = read_model<float>(backend, directory);  // written by model.save_pretrained(directory)
  index_t const width = model.config().model_width;
  auto const& shared = model.layout().find("shared.weight");  // the names are those of transformers
  // example-end read_model
  CHECK(shared.columns == width);
}

TEST_CASE("cookbook: filters, sessions, replacement") {
  auto const service = untrained_recommender();
  auto const data = shop_dataset();
  auto const history = data.interactions.of(user_id{0});
  // example-begin filter
  item_filter const not_again{.deny = item_list(history.begin(), history.end())};
  ranking const fresh = service.recommend(history, 5, not_again);

  item_filter const shelf{.allow = item_list{item_id{3}, item_id{14}, item_id{15}}};
  ranking const from_shelf = service.recommend(history, 5, shelf);  // at most these three
  // example-end filter
  CHECK(fresh.size() == 5);
  CHECK(from_shelf.size() == 3);

  // example-begin session
  std::jthread const worker([&service, history] {
    auto session = service.session();  // one per thread: owns scratch, and on a GPU the captured searches
    ranking const first = session.recommend(history, {.k = 5});
    ranking const second = session.recommend(history, {.k = 3, .filter = {.deny = {first.items.front()}}});
  });
  // example-end session

  // example-begin slot
  recommender_slot<> slot(std::make_shared<recommender<> const>(service));
  auto const current = slot.get();  // a request: valid until the request ends
  ranking const answer = current->recommend(history, 5);
  slot.set(std::make_shared<recommender<> const>(untrained_recommender()));  // meanwhile, on another thread
  // example-end slot
  CHECK(answer.size() == 5);
  CHECK(slot.get() != current);

  // example-begin deadline
  using namespace std::chrono_literals;
  std::stop_source cancel;  // request_stop() from any thread ends the request early as well
  recommendation const timely = service.recommend(history, {.k = 5, .deadline = 20ms, .stop = cancel.get_token()});
  if (!timely.complete) std::puts("these are the best items that were found in time");
  auto const place = timely.place_in(modality::text, item_id{3});  // rank and score in the list of the texts, if there
  std::chrono::duration<double, std::milli> const in_search = timely.times.search;
  // example-end deadline
  CHECK((timely.size() == 5 || !timely.complete));
  CHECK((in_search.count() > 0 || !timely.complete));
  CHECK((!place || place->rank >= 1));

  // example-begin batcher
  serve::micro_batcher<> batcher(slot, {.workers = 2, .max_batch = 8, .max_queued = 64});
  std::jthread const caller([&] {  // one of many: their requests are searched together
    try {
      recommendation const mine = batcher.recommend(history, {.k = 5, .deadline = 100ms});
    } catch (serve::overloaded const&) {  // at once, when 64 requests wait already
    }
  });
  // example-end batcher

  // example-begin batch
  std::vector<recommend_request> requests;
  for (index_t u = 0; u < 10; ++u) requests.push_back({data.interactions.of(user_id(u)), {.k = 5}});
  std::vector<recommendation> const answers = service.recommend_batch(requests);
  // example-end batch
  CHECK(answers.size() == 10);
}

TEST_CASE("cookbook: fusion") {
  auto const data = shop_dataset();
  auto const& vocab = shop_vocabulary();
  cpu::backend backend;
  // example-begin fusion
  ranking const text{.items = {item_id{3}, item_id{8}}, .scores = {-0.2, -0.9}};
  ranking const image{.items = {item_id{8}, item_id{4}}, .scores = {-0.4, -0.5}};
  ranking const lists[] = {text, image};
  ranking const paper = average_plus_one{}.fuse(lists);             // item 8 first: it is in both lists
  ranking const probable = calibrated{.sharpness = 5}.fuse(lists);  // mean of the probabilities
  // example-end fusion
  CHECK(paper.items.front() == item_id{8});
  CHECK(probable.size() == 3);
  // example-begin use_fusion
  recommender<> const service(backend, untrained_model(backend), {vocab, next_only()}, data.tokens,
                              {.fusion = text_first{}});
  // example-end use_fusion
  CHECK(service.recommend({}, 5).size() == 5);
  CHECK(text_first{}.fuse(lists).items == item_list{item_id{3}, item_id{8}, item_id{4}});
}

TEST_CASE("cookbook: a beam search") {
  auto const data = shop_dataset();
  auto const& vocab = shop_vocabulary();
  mixture const tasks = next_only();
  cpu::backend backend;
  frozen_t5 const model(backend, untrained_model(backend));
  // example-begin beam_search
  search::item_trie const trie(data.table(modality::text));
  tasks::batch queries;  // any number of users at once
  for (auto const user : {user_id{0}, user_id{1}})
    tasks.query(modality::text)
        .write_query(data.interactions.of(user), {.tables = data.tokens, .vocab = vocab}, queries);
  beam_options const options{.beams = 10};
  search::beams const found = search::beam_search(backend, model, trie, queries, options);
  ranking const best = rank::ranking_of(found, 0, trie);  // of the first query
  // example-end beam_search
  CHECK(found.queries() == 2);
  CHECK(best.size() >= 10);
}

TEST_CASE("cookbook: the popularity baseline") {
  auto const data = shop_dataset();
  // example-begin popularity
  ranking const popular = popularity(data.interactions, 10);  // the same for every user
  metrics::metric_accumulator accumulator({1, 10});
  for (auto const user : catalog::evaluated_users(data.interactions))
    accumulator.add(metrics::place_of(popular, catalog::target(data.interactions, user, split::test)));
  double const hit = accumulator.mean().hit(10);
  // example-end popularity
  CHECK(popular.size() == 10);
  CHECK(hit < 1);
}

// example-begin backend
/// Works on every backend: reference::backend, cpu::backend, gpu::backend<gpu::cuda>.
template <Backend B>
double loss_of(B& backend, validation_set const& examples, t5_config const& shape) {
  t5<B, float> model(backend, shape);
  initialize(model, 42);  // drawn on the host: every backend starts from the same parameters
  return trainer<B, float>(backend, model, {.dropout = 0}).mean_loss(examples);
}
// example-end backend

TEST_CASE("cookbook: backends") {
  auto const& vocab = shop_vocabulary();
  auto const shape = small_shape(vocab);
  validation_set const examples(next_only(), {shop_dataset()}, vocab);
  // example-begin backends
  reference::backend plain;                                        // plain loops: the specification
  cpu::backend fast({.threads = 2, .products = precision::fp32});  // .threads = 0: all of the machine
  double const expected = loss_of(plain, examples, shape), actual = loss_of(fast, examples, shape);
  // example-end backends
  CHECK(actual == doctest::Approx(expected).epsilon(1e-4));
}
