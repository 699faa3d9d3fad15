// Concurrent requests: a session for each caller, and a micro_batcher, against the rate of evaluate(), which searches
// all users in batches; the latency at a fixed rate of arrivals; and how late answers with a deadline are: what a
// client sees, and the longest processor time between two checks of the deadline, its bound on an idle machine. Prints
// requests per second of the clock and of processor time: the second doesn't depend on what else the machine does.
//
//   bench_serve [--model DIR --dataset DIR] [--seconds S] [--workers N] [--rate R]
//
// Without a model it is a random one of the paper's size, and a random catalog as large as Instruments.
#include "sequences.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <thread>

#include "mql4grec/mql4grec.hpp"
#include "options.hpp"
#include "timing.hpp"

namespace {

using namespace mql4grec;
using clock_type = std::chrono::steady_clock;
using bench::processor_seconds;
using milliseconds = std::chrono::duration<double, std::milli>;

struct settings {
  std::string model = "", dataset = "";
  double seconds = 4;  // of each measurement
  index_t workers = 2;
  double rate = 20;  // arrivals per second
};

settings read_settings(int count, char** arguments) {
  settings all;
  CLI::App program("Requests of many callers at once", "bench_serve");
  auto* const model = program.add_option("--model", all.model, "a model directory; without it random parameters");
  model->needs(program.add_option("--dataset", all.dataset, "its dataset directory"));
  program.add_option("--seconds", all.seconds, "of each measurement")->check(CLI::PositiveNumber);
  program.add_option("--workers", all.workers)->check(CLI::PositiveNumber);
  program.add_option("--rate", all.rate, "arrivals per second")->check(CLI::PositiveNumber);
  bench::read_options(program, count, arguments);
  return all;
}

/// A recommender, and the histories that requests choose from.
struct shop {
  std::shared_ptr<recommender<> const> service;
  std::vector<std::vector<item_id>> histories;
};

shop make_shop(settings const& how) {
  shop made;
  if (!how.model.empty()) {
    made.service = std::make_shared<recommender<> const>(recommender<>::load(how.model, how.dataset));
    auto const data = read_dataset(how.dataset, made.service->tasks().vocab);
    for (index_t u = 0; u < std::min<index_t>(2000, data.interactions.users()); ++u) {
      auto const past = catalog::history(data.interactions, user_id(u), split::test);
      made.histories.emplace_back(past.begin(), past.end());
    }
    return made;
  }
  cpu::backend backend;
  t5<cpu::backend, float> random(backend, {});
  initialize(random, 1);
  made.service = std::make_shared<recommender<> const>(
      backend, std::move(random), tasks::model_tasks{vocabulary(), all_tasks()},
      std::vector{bench::random_catalog(6250, modality::text), bench::random_catalog(6250, modality::image)});
  random_stream stream(11, 0);
  for (int i = 0; i < 2000; ++i) made.histories.push_back(bench::random_history(stream, made.service->items()));
  return made;
}

void print(char const* name, std::vector<double> latencies, double seconds, double processor) {
  std::ranges::sort(latencies);
  auto const at = [&](double share) { return bench::percentile(latencies, share); };
  auto const n = static_cast<double>(latencies.size());
  std::printf("%-44s %7.1f /s  %7.1f /cpu s   p50 %7.2f  p90 %7.2f  p99 %7.2f  max %7.2f ms\n", name, n / seconds,
              n / processor, at(.5), at(.9), at(.99), latencies.back());
  std::fflush(stdout);
}

/// Callers that send a request as soon as they have the answer to the previous one. call(caller, history) answers one.
void closed_loop(char const* name, shop const& from, settings const& how, std::size_t callers,
                 std::function<void(std::size_t, std::span<item_id const>)> const& call) {
  std::vector<std::vector<double>> latencies(callers);
  std::atomic<std::size_t> next{0};
  double const before = processor_seconds();
  auto const start = clock_type::now();
  {
    std::vector<std::jthread> threads;
    for (std::size_t c = 0; c < callers; ++c)
      threads.emplace_back([&, c] {
        while (std::chrono::duration<double>(clock_type::now() - start).count() < how.seconds) {
          auto const& history = from.histories[next++ % from.histories.size()];
          auto const sent = clock_type::now();
          call(c, history);
          latencies[c].push_back(milliseconds(clock_type::now() - sent).count());
        }
      });
  }
  double const seconds = std::chrono::duration<double>(clock_type::now() - start).count();
  std::vector<double> all;
  for (auto const& mine : latencies) all.insert(all.end(), mine.begin(), mine.end());
  print(name, std::move(all), seconds, processor_seconds() - before);
}

/// Requests that arrive at a fixed rate, whether or not earlier ones have been answered.
void open_loop(shop const& from, settings const& how, serve::micro_batcher<>& to) {
  constexpr std::size_t callers = 32;
  auto const count = static_cast<std::size_t>(how.rate * 5 * how.seconds);
  std::vector<double> latencies(count);
  std::atomic<std::size_t> next{0}, refused{0};
  double const before = processor_seconds();
  auto const start = clock_type::now();
  {
    std::vector<std::jthread> threads;
    for (std::size_t c = 0; c < callers; ++c)
      threads.emplace_back([&] {
        for (auto i = next++; i < count; i = next++) {
          auto const due =
              start + std::chrono::nanoseconds(static_cast<std::int64_t>(1e9 * static_cast<double>(i) / how.rate));
          std::this_thread::sleep_until(due);
          try {
            static_cast<void>(to.recommend(from.histories[i % from.histories.size()]));
          } catch (serve::overloaded const&) {
            ++refused;
          }
          latencies[i] = milliseconds(clock_type::now() - due).count();
        }
      });
  }
  char name[80];
  std::snprintf(name, sizeof name, "%.0f arrivals/s, %zu refused", how.rate, refused.load());
  print(name, std::move(latencies), std::chrono::duration<double>(clock_type::now() - start).count(),
        processor_seconds() - before);
}

/// How long after its deadline a request is answered, for deadlines that pass during its search.
void lateness(char const* name, shop const& from, settings const& how,
              std::function<recommendation(std::span<item_id const>, std::chrono::nanoseconds)> const& call) {
  std::vector<double> late;
  random_stream random(5, 0);
  std::size_t complete = 0;
  auto const start = clock_type::now();
  for (std::size_t i = 0; std::chrono::duration<double>(clock_type::now() - start).count() < how.seconds; ++i) {
    std::chrono::nanoseconds const deadline = std::chrono::microseconds(500 + 10 * random.below(1000));
    auto const sent = clock_type::now();
    auto const answer = call(from.histories[i % from.histories.size()], deadline);
    auto const took = clock_type::now() - sent;
    if (answer.complete)
      ++complete;
    else
      late.push_back(milliseconds(took - deadline).count());
  }
  std::ranges::sort(late);
  if (late.empty()) return;
  auto const at = [&](double share) { return bench::percentile(late, share); };
  std::printf("%-44s %zu incomplete, %zu complete; after the deadline: p50 %.3f  p99 %.3f  max %.3f ms\n", name,
              late.size(), complete, at(.5), at(.99), late.back());
  std::fflush(stdout);
}

/// The longest processor time between two checks of the deadline, by request.
void check_intervals(shop const& from, settings const& how) {
  auto const now = [] { return 1e3 * bench::thread_seconds(); };
  auto session = from.service->session();
  std::vector<double> longest;
  auto const start = clock_type::now();
  for (std::size_t i = 0; std::chrono::duration<double>(clock_type::now() - start).count() < how.seconds; ++i) {
    recommend_request const one[] = {{from.histories[i % from.histories.size()], {}}};
    std::vector<double> at;
    static_cast<void>(session.recommend_batch(one, {.wanted = [&](std::size_t) { return at.push_back(now()), true; }}));
    at.push_back(now());
    if (i < 20) continue;  // warms up
    double most = 0;
    for (std::size_t s = 1; s < at.size(); ++s) most = std::max(most, at[s] - at[s - 1]);
    longest.push_back(most);
  }
  if (longest.empty()) return;
  std::ranges::sort(longest);
  std::printf("%-44s p50 %.3f  p99 %.3f  max %.3f ms of processor time\n", "deadlines, the longest time between checks",
              bench::percentile(longest, .5), bench::percentile(longest, .99), longest.back());
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
  auto const how = read_settings(count, arguments);
  auto const from = make_shop(how);
  recommender_slot<> const slot(from.service);
  auto const workers = to_size(how.workers);

  if (!how.model.empty()) {
    cpu::backend backend({.threads = how.workers});
    auto const data = read_dataset(how.dataset, from.service->tasks().vocab);
    double const before = processor_seconds();
    auto const found = evaluate(backend, from.service->model(), from.service->tasks(), data, {.users = 2000});
    std::printf("%-44s %7.1f /s  %7.1f /cpu s\n", "evaluate()", found.result.users_per_second,
                static_cast<double>(found.result.users) / (processor_seconds() - before));
  }
  {
    std::vector<recommend_request> requests;
    for (auto const& history : from.histories) requests.push_back({history, {}});
    double const before = processor_seconds();
    auto const start = clock_type::now();
    static_cast<void>(from.service->recommend_batch(requests));
    double const seconds = std::chrono::duration<double>(clock_type::now() - start).count();
    std::printf("%-44s %7.1f /s  %7.1f /cpu s\n", "recommend_batch(), one thread",
                static_cast<double>(requests.size()) / seconds,
                static_cast<double>(requests.size()) / (processor_seconds() - before));
  }
  {
    std::vector<recommender_session<>> sessions;
    for (std::size_t c = 0; c < workers; ++c) sessions.push_back(from.service->session());
    closed_loop("a session for each of the callers", from, how, workers,
                [&](std::size_t c, std::span<item_id const> past) { static_cast<void>(sessions[c].recommend(past)); });
  }
  for (index_t const batch : {1, 4, 8, 12})
    for (std::size_t const callers : {workers, 4 * workers, 16 * workers}) {
      serve::micro_batcher<> to(slot, {.workers = how.workers, .max_batch = batch, .max_queued = 1000});
      char name[80];
      std::snprintf(name, sizeof name, "micro_batcher, max_batch %d, %zu callers", static_cast<int>(batch), callers);
      closed_loop(name, from, how, callers,
                  [&](std::size_t, std::span<item_id const> past) { static_cast<void>(to.recommend(past)); });
    }
  {
    serve::micro_batcher<> to(slot, {.workers = how.workers});
    open_loop(from, how, to);
  }
  check_intervals(from, how);
  auto session = from.service->session();
  lateness("deadlines, a session", from, how, [&](std::span<item_id const> past, std::chrono::nanoseconds deadline) {
    return session.recommend(past, {.deadline = deadline});
  });
  serve::micro_batcher<> to(slot, {.workers = how.workers});
  std::atomic<bool> done = false;
  std::vector<std::jthread> load;
  for (std::size_t c = 0; c < 8; ++c)
    load.emplace_back([&, c] {
      for (auto i = c; !done; i += 8) static_cast<void>(to.recommend(from.histories[i % from.histories.size()]));
    });
  lateness("deadlines, micro_batcher with 8 others", from, how,
           [&](std::span<item_id const> past, std::chrono::nanoseconds deadline) {
             return to.recommend(past, {.deadline = deadline});
           });
  done = true;
}
