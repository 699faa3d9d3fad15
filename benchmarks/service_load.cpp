// Requests to a running `mql4grec serve` on loopback: a given rate, or as many as it answers. Prints one JSON object:
// rates, latencies, statuses, and how many answers differ from those that this program computes itself.
//
//   service_load --port N [--connections C] [--rate R] [--seconds S] [--requests N] [--items N] [--k K]
//                [--deadline-ms D] [--model DIR --dataset DIR] [--other-model DIR] [--allow-all 1] [--insert-token T]
//
// --other-model: a second model that the service may have been told to read; an answer names the one it is from.
// --allow-all 1: every request allows just the items 0 … N − 1, so that inserted items don't change the answers.
//
// --insert-token T: each request inserts a new item instead, with random words of the text, as the administrator with
// this token; --levels 4 and --codes 8 are those of the text.
//
// With a rate, latencies count from the moment at which a request was due, so that a service that falls behind isn't
// flattered. Latencies of refusals (503) are reported apart.
#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "mql4grec/catalog/dataset_paths.hpp"
#include "mql4grec/catalog/read.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/recommender.hpp"
#include "options.hpp"
#include "timing.hpp"

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using namespace mql4grec;
using clock_type = std::chrono::steady_clock;
using json = nlohmann::json;

struct settings {
  index_t port = 0, connections = 8, items = 100, k = 10, requests = 0;
  double rate = 0, seconds = 10, deadline_ms = -1;
  std::string model, other_model, dataset, insert_token;
  index_t levels = 4, codes = 8;  // of inserted items
  bool allow_all = false;
};

settings read_settings(int count, char** arguments) {
  settings all;
  CLI::App program("Requests to a running service: their latencies as JSON", "service_load");
  program.add_option("--port", all.port)->required()->check(CLI::Range(1, 65'535));
  program.add_option("--connections", all.connections)->check(CLI::PositiveNumber);
  program.add_option("--items", all.items, "items that histories choose from")->check(CLI::PositiveNumber);
  program.add_option("--k", all.k, "items of an answer")->check(CLI::PositiveNumber);
  program.add_option("--requests", all.requests, "0: until --seconds have passed")->check(CLI::NonNegativeNumber);
  program.add_option("--rate", all.rate, "requests per second; 0: one after the other")->check(CLI::NonNegativeNumber);
  program.add_option("--seconds", all.seconds)->check(CLI::PositiveNumber);
  program.add_option("--deadline-ms", all.deadline_ms, "of each request");
  program.add_option("--model", all.model, "compare answers with those of this model directory");
  program.add_option("--other-model", all.other_model, "or of this one");
  program.add_option("--dataset", all.dataset, "the models' dataset directory");
  program.add_flag("--allow-all", all.allow_all, "requests with a list of all items");
  program.add_option("--insert-token", all.insert_token, "insert items; the token of administrators");
  program.add_option("--levels", all.levels, "of inserted items")->check(CLI::PositiveNumber);
  program.add_option("--codes", all.codes, "of a level of inserted items")->check(CLI::PositiveNumber);
  bench::read_options(program, count, arguments);
  return all;
}

constexpr index_t different_requests = 256;

/// A body, and the answer that this program expects of each model.
struct question {
  std::string body;
  std::map<std::string, recommendation> expected = {};  // by the model's name
};

std::vector<question> make_questions(settings const& s) {
  std::map<std::string, recommender<>> offline;
  for (auto const& model : {s.model, s.other_model})
    if (!model.empty())
      offline.emplace(std::filesystem::path(model).filename(),
                      recommender<>::load(model, s.dataset, {.backend = {.threads = 1}}));
  search::item_filter filter;
  json allowed = json::array();
  for (index_t i = 0; s.allow_all && i < s.items; ++i) {
    if (i == 0) filter.allow.emplace();
    filter.allow->push_back(item_id(static_cast<std::int32_t>(i)));
    allowed.push_back(i);
  }
  std::vector<question> all;
  for (index_t i = 0; i < different_requests; ++i) {
    random_stream random(1, static_cast<std::uint64_t>(i));
    std::vector<item_id> history(to_size(1 + random.below(12)));
    json numbers = json::array();
    for (auto& item : history) {
      item = item_id(static_cast<std::int32_t>(random.below(s.items)));
      numbers.push_back(index(item));
    }
    json body = {{"history", numbers}, {"k", s.k}};
    if (filter.allow) body["allow"] = allowed;
    if (s.deadline_ms >= 0) body["deadline_ms"] = s.deadline_ms;
    all.push_back({body.dump()});
    for (auto const& [name, model] : offline)
      all.back().expected[name] = model.recommend(history, {.k = s.k, .filter = filter});
  }
  return all;
}

/// A body that inserts item i.
std::string insertion(settings const& s, index_t i) {
  random_stream random(2, static_cast<std::uint64_t>(i));
  json codes = json::array();
  for (index_t level = 0; level < s.levels; ++level) codes.push_back(random.below(s.codes));
  // Another run inserts others.
  auto const name =
      std::to_string(std::chrono::system_clock::now().time_since_epoch().count()) + "-" + std::to_string(i);
  return json{{"item", name}, {"title", "Item " + name}, {"codes", {{"text", codes}}}}.dump();
}

/// Whether an answer has the scores and the items that were expected. Items whose scores are closer than the rounding
/// of products in batches may change places. `names`: raw ids by number, or none.
bool is_right(json const& answer, recommendation const& expected, std::vector<std::string> const& names) {
  constexpr double rounding = 1e-4;
  auto const& items = answer.at("items");
  if (items.size() != expected.items.size()) return false;
  for (std::size_t i = 0; i < items.size(); ++i) {
    double const score = items[i].at("score").get<double>();
    if (std::abs(score - expected.scores[i]) > rounding) return false;
    bool is_there = i + 1 == items.size();  // the next one, beyond the end, may be as good
    for (std::size_t e = 0; e < items.size(); ++e) {
      auto const number = index(expected.items[e]);
      bool const is_same =
          names.empty() ? items[i].at("item") == number : items[i].at("item") == names[to_size(number)];
      is_there = is_there || (is_same && std::abs(score - expected.scores[e]) <= 2 * rounding);
    }
    if (!is_there) return false;
  }
  return true;
}

/// What one connection has seen.
struct tally {
  std::vector<double> answered_ms, refused_ms;
  index_t failed = 0, incomplete = 0, checked = 0, wrong = 0, lost = 0;
};

class client {
 public:
  client(settings const& s, std::vector<question> const& questions, std::vector<std::string> const& names)
      : settings_(s), questions_(questions), names_(names) {}

  /// Asks question i, which was due at `due`.
  void ask(index_t i, clock_type::time_point due) {
    bool const inserts = !settings_.insert_token.empty();
    auto const& question = questions_[to_size(i % std::ssize(questions_))];
    try {
      if (!stream_.socket().is_open())
        stream_.connect({asio::ip::make_address("127.0.0.1"), static_cast<unsigned short>(settings_.port)});
      http::request<http::string_body> request(http::verb::post, inserts ? "/items" : "/recommend", 11);
      if (inserts) request.set(http::field::authorization, "Bearer " + settings_.insert_token);
      request.set(http::field::host, "127.0.0.1");
      request.set(http::field::content_type, "application/json");
      request.body() = inserts ? insertion(settings_, i) : question.body;
      request.prepare_payload();
      http::write(stream_, request);
      http::response<http::string_body> response;
      http::read(stream_, buffer_, response);
      double const ms = std::chrono::duration<double, std::milli>(clock_type::now() - due).count();
      if (!response.keep_alive()) stream_.close();
      count(response, question, ms);
    } catch (std::exception const&) {
      ++tally_.lost;
      stream_.close();
      buffer_.clear();
    }
  }
  tally const& seen() const { return tally_; }

 private:
  void count(http::response<http::string_body> const& response, question const& asked, double ms) {
    if (response.result_int() == 503) return tally_.refused_ms.push_back(ms);
    if (response.result_int() != 200) {
      ++tally_.failed;
      return;
    }
    tally_.answered_ms.push_back(ms);
    if (!settings_.insert_token.empty()) return;
    auto const answer = json::parse(response.body());
    if (!answer.at("complete").get<bool>()) {
      ++tally_.incomplete;
    } else if (!asked.expected.empty()) {
      ++tally_.checked;
      auto const found = asked.expected.find(answer.at("model").get<std::string>());
      tally_.wrong += found != asked.expected.end() && is_right(answer, found->second, names_) ? 0 : 1;
    }
  }

  settings const& settings_;
  std::vector<question> const& questions_;
  std::vector<std::string> const& names_;
  asio::io_context context_;
  beast::tcp_stream stream_{context_};
  beast::flat_buffer buffer_;
  tally tally_;
};

json percentiles(std::vector<double> values) {
  if (values.empty()) return nullptr;
  std::ranges::sort(values);
  auto const at = [&](double share) { return bench::percentile(values, share); };
  return {{"p50", at(.5)}, {"p90", at(.9)}, {"p99", at(.99)}, {"max", values.back()}};
}

}  // namespace

int main(int count, char** arguments) try {
  auto const s = read_settings(count, arguments);
  auto const questions = make_questions(s);
  std::vector<std::string> names;
  if (!s.dataset.empty())
    if (auto const file = catalog::dataset_paths(s.dataset).item_ids(); std::filesystem::exists(file))
      names = catalog::read_ids(file);
  std::vector<std::unique_ptr<client>> clients;
  for (index_t c = 0; c < s.connections; ++c) clients.push_back(std::make_unique<client>(s, questions, names));
  std::atomic<index_t> next = 0;
  auto const start = clock_type::now();
  auto const end = start + std::chrono::duration_cast<clock_type::duration>(std::chrono::duration<double>(s.seconds));
  {
    std::vector<std::jthread> threads;
    for (auto const& each : clients)
      threads.emplace_back([&, one = each.get()] {
        for (;;) {
          auto const i = next++;
          if (s.requests > 0 && i >= s.requests) return;
          auto due = clock_type::now();
          if (s.rate > 0) {
            due = start + std::chrono::duration_cast<clock_type::duration>(
                              std::chrono::duration<double>(static_cast<double>(i) / s.rate));
            if (s.requests == 0 && due >= end) return;
            std::this_thread::sleep_until(due);
          } else if (s.requests == 0 && due >= end) {
            return;
          }
          one->ask(i, due);
        }
      });
  }
  double const seconds = std::chrono::duration<double>(clock_type::now() - start).count();
  tally all;
  for (auto const& each : clients) {
    auto const& seen = each->seen();
    all.answered_ms.insert(all.answered_ms.end(), seen.answered_ms.begin(), seen.answered_ms.end());
    all.refused_ms.insert(all.refused_ms.end(), seen.refused_ms.begin(), seen.refused_ms.end());
    all.failed += seen.failed, all.incomplete += seen.incomplete, all.checked += seen.checked;
    all.wrong += seen.wrong, all.lost += seen.lost;
  }
  json const result = {{"seconds", seconds},
                       {"answered", all.answered_ms.size()},
                       {"answered_per_second", static_cast<double>(all.answered_ms.size()) / seconds},
                       {"answered_ms", percentiles(all.answered_ms)},
                       {"refused", all.refused_ms.size()},
                       {"refused_ms", percentiles(all.refused_ms)},
                       {"incomplete", all.incomplete},
                       {"checked", all.checked},
                       {"wrong", all.wrong},
                       {"failed", all.failed},
                       {"lost", all.lost}};
  std::printf("%s\n", result.dump(2).c_str());
  return all.wrong + all.failed + all.lost == 0 ? 0 : 1;
} catch (std::exception const& fault) {
  std::fprintf(stderr, "service_load: %s\n", fault.what());
  return 1;
}
