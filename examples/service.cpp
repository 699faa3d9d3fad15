// A service: threads answer requests while the model is replaced again and again. Every request is answered by one of
// the two models and never by a mixture of both: each answer is compared with those computed in advance.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <mql4grec/catalog/synthetic.hpp>
#include <mql4grec/mql4grec.hpp>
#include <thread>

using namespace mql4grec;

namespace {

constexpr int clients = 4, requests_each = 250, questions = 40;
constexpr index_t wanted = 10;

/// Two seeds give two different models. They are untrained, which doesn't matter here.
std::shared_ptr<recommender<> const> make_recommender(dataset const& data, vocabulary const& vocab,
                                                      std::uint64_t seed) {
  cpu::backend backend;
  t5<cpu::backend, float> model(backend, {.vocabulary = vocab.size(),
                                          .model_width = 64,
                                          .head_width = 16,
                                          .heads = 4,
                                          .inner_width = 256,
                                          .encoder_layers = 2,
                                          .decoder_layers = 2});
  initialize(model, seed);
  return std::make_shared<recommender<> const>(backend, std::move(model), tasks::model_tasks{vocab, all_tasks()},
                                               data.tokens);
}

dataset make_dataset(vocabulary const& vocab) {
  auto const shop = catalog::make_synthetic_domain({.users = 100}, 0);
  dataset data{.interactions = shop.interactions, .items = shop.items, .name = shop.name};
  for (auto const kind : {modality::text, modality::image})
    data.tokens.push_back(to_tokens(view_of(shop.codes[static_cast<std::size_t>(kind)]), vocab, kind));
  return data;
}

/// The measurements of one client.
struct experience {
  std::vector<double> milliseconds;
  int by_today = 0, by_tomorrow = 0, wrong = 0;
};

using answers = std::vector<ranking>;  // (questions)
using steady = std::chrono::steady_clock;
double seconds_since(steady::time_point start) { return std::chrono::duration<double>(steady::now() - start).count(); }

answers ask_everything(recommender<> const& service, interactions const& histories) {
  answers all;
  for (int q = 0; q < questions; ++q) all.push_back(service.recommend(histories.of(user_id(q)), wanted));
  return all;
}

experience be_a_client(int number, recommender_slot<> const& slot, interactions const& histories, answers const& today,
                       answers const& tomorrow) {
  experience seen;
  for (int i = 0; i < requests_each; ++i) {
    auto const question = static_cast<std::size_t>((number * 7 + i) % questions);
    auto const start = steady::now();
    // example-begin request
    auto const current = slot.get();  // stays valid until this request ends, even if another model is published
    ranking const answer = current->recommend(histories.of(user_id(static_cast<int>(question))), wanted);
    // example-end request
    seen.milliseconds.push_back(1e3 * seconds_since(start));
    if (answer == today[question])
      ++seen.by_today;
    else if (answer == tomorrow[question])
      ++seen.by_tomorrow;
    else
      ++seen.wrong;
  }
  return seen;
}

}  // namespace

int main() {
  vocabulary const vocab;
  auto const data = make_dataset(vocab);
  auto const& histories = data.interactions;
  auto const today = make_recommender(data, vocab, 1), tomorrow = make_recommender(data, vocab, 2);
  auto const expected_today = ask_everything(*today, histories),
             expected_tomorrow = ask_everything(*tomorrow, histories);

  recommender_slot<> slot(today);
  std::vector<experience> seen(clients);
  std::atomic<int> at_work = clients;
  auto const start = steady::now();
  std::vector<std::jthread> threads;
  for (int c = 0; c < clients; ++c)
    threads.emplace_back([&, c] {
      seen[static_cast<std::size_t>(c)] = be_a_client(c, slot, histories, expected_today, expected_tomorrow);
      --at_work;
    });
  int swaps = 0;
  while (at_work > 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    slot.set(++swaps % 2 == 1 ? tomorrow : today);
  }
  threads.clear();  // joins
  double const seconds = seconds_since(start);

  experience all;
  for (auto const& one : seen) {
    all.milliseconds.insert(all.milliseconds.end(), one.milliseconds.begin(), one.milliseconds.end());
    all.by_today += one.by_today;
    all.by_tomorrow += one.by_tomorrow;
    all.wrong += one.wrong;
  }
  std::ranges::sort(all.milliseconds);
  auto const percentile = [&](double p) {
    return all.milliseconds[static_cast<std::size_t>(p * static_cast<double>(all.milliseconds.size() - 1))];
  };
  std::printf("%d clients, %zu requests, %d swaps: %d answers by the first model, %d by the second, %d wrong\n",
              clients, all.milliseconds.size(), swaps, all.by_today, all.by_tomorrow, all.wrong);
  std::printf("%.0f requests/s; latency ms: p50 %.2f, p90 %.2f, p99 %.2f, most %.2f\n",
              static_cast<double>(all.milliseconds.size()) / seconds, percentile(0.5), percentile(0.9),
              percentile(0.99), all.milliseconds.back());
  return all.wrong == 0 && all.by_today + all.by_tomorrow == clients * requests_each ? 0 : 1;
}
