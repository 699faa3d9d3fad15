// A service: threads respond to requests while the model is replaced again and again. Every response comes from one of
// the two models, never from a mixture of both: each is compared with the responses computed in advance.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <mql4grec/catalog/synthetic.hpp>
#include <mql4grec/mql4grec.hpp>
#include <thread>

using namespace mql4grec;

namespace {

constexpr int client_count = 4, requests_per_client = 250, user_count = 40;
constexpr index_t items_per_request = 10;

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
  auto const shop = catalog::make_synthetic_dataset({.users = 100}, 0);
  dataset data{.interactions = shop.interactions, .items = shop.items, .name = shop.name};
  for (auto const kind : {modality::text, modality::image})
    data.tokens.push_back(to_tokens(view_of(shop.codes[static_cast<std::size_t>(kind)]), vocab, kind));
  return data;
}

/// The measurements of one client: latencies, and how many responses came from which model.
struct client_statistics {
  std::vector<double> milliseconds;
  int from_first = 0, from_second = 0, wrong = 0;
};

using clock_type = std::chrono::steady_clock;
double seconds_since(clock_type::time_point start) {
  return std::chrono::duration<double>(clock_type::now() - start).count();
}

/// The recommendations of one model for each user, to compare the responses with.
std::vector<ranking> recommend_for_all(recommender<> const& model, interactions const& histories) {
  std::vector<ranking> expected;
  for (int user = 0; user < user_count; ++user)
    expected.push_back(model.recommend(histories.of(user_id(user)), items_per_request));
  return expected;
}

client_statistics run_client(int client, recommender_slot<> const& slot, interactions const& histories,
                             std::vector<ranking> const& expected_first, std::vector<ranking> const& expected_second) {
  client_statistics statistics;
  for (int i = 0; i < requests_per_client; ++i) {
    auto const user = (client * 7 + i) % user_count;
    auto const start = clock_type::now();
    // example-begin request
    auto const current = slot.get();  // stays valid until this request ends, even if another model is published
    ranking const response = current->recommend(histories.of(user_id(user)), items_per_request);
    // example-end request
    statistics.milliseconds.push_back(1e3 * seconds_since(start));
    if (response == expected_first[static_cast<std::size_t>(user)])
      ++statistics.from_first;
    else if (response == expected_second[static_cast<std::size_t>(user)])
      ++statistics.from_second;
    else
      ++statistics.wrong;
  }
  return statistics;
}

}  // namespace

int main() {
  vocabulary const vocab;
  auto const data = make_dataset(vocab);
  auto const& histories = data.interactions;
  auto const first = make_recommender(data, vocab, 1), second = make_recommender(data, vocab, 2);
  auto const expected_first = recommend_for_all(*first, histories),
             expected_second = recommend_for_all(*second, histories);

  recommender_slot<> slot(first);
  std::vector<client_statistics> per_client(client_count);
  std::atomic<int> running_clients = client_count;
  auto const start = clock_type::now();
  std::vector<std::jthread> threads;
  for (int client = 0; client < client_count; ++client)
    threads.emplace_back([&, client] {
      per_client[static_cast<std::size_t>(client)] =
          run_client(client, slot, histories, expected_first, expected_second);
      --running_clients;
    });
  int swaps = 0;
  while (running_clients > 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    slot.set(++swaps % 2 == 1 ? second : first);
  }
  threads.clear();  // joins
  double const seconds = seconds_since(start);

  client_statistics total;
  for (auto const& one : per_client) {
    total.milliseconds.insert(total.milliseconds.end(), one.milliseconds.begin(), one.milliseconds.end());
    total.from_first += one.from_first;
    total.from_second += one.from_second;
    total.wrong += one.wrong;
  }
  std::ranges::sort(total.milliseconds);
  auto const percentile = [&](double p) {
    return total.milliseconds[static_cast<std::size_t>(p * static_cast<double>(total.milliseconds.size() - 1))];
  };
  std::printf("%d clients, %zu requests, %d swaps: %d answers by the first model, %d by the second, %d wrong\n",
              client_count, total.milliseconds.size(), swaps, total.from_first, total.from_second, total.wrong);
  std::printf("%.0f requests/s; latency ms: p50 %.2f, p90 %.2f, p99 %.2f, most %.2f\n",
              static_cast<double>(total.milliseconds.size()) / seconds, percentile(0.5), percentile(0.9),
              percentile(0.99), total.milliseconds.back());
  return total.wrong == 0 && total.from_first + total.from_second == client_count * requests_per_client ? 0 : 1;
}
