#include "report.hpp"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <fstream>
#include <thread>
#include <utility>

#include "svg.hpp"
#include "training.hpp"
#include "translation.hpp"

namespace mql4grec::program {

namespace {

std::string machine() {
  std::ifstream in("/proc/cpuinfo");
  std::string line, name = "unknown processor";
  while (std::getline(in, line))
    if (line.starts_with("model name") && line.find(": ") != line.npos) {
      name = line.substr(line.find(": ") + 2);
      break;
    }
  return name + ", " + std::to_string(std::thread::hardware_concurrency()) + " threads";
}

std::string date() {
  std::time_t const now = std::time(nullptr);
  std::tm utc = {};
  ::gmtime_r(&now, &utc);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &utc)};
}

report_page page_with(std::string title, std::vector<std::pair<std::string, std::string>> facts) {
  facts.emplace_back("Machine", machine());
  facts.emplace_back("Date", date());
  facts.emplace_back("Command", command_line());
  return {.title = std::move(title), .facts = std::move(facts), .epochs = {}, .metrics = {}, .examples = {}};
}

shown_example example_of(dataset const& data, user_result const& result, split part) {
  auto const user = static_cast<std::size_t>(result.user);
  shown_example out{
      .user = data.interactions.user_keys.at(user), .history = {}, .target = title_of(data, result.target), .best = {}};
  for (auto const item : history(data.interactions, result.user, part)) out.history.push_back(title_of(data, item));
  auto const& list = result.ensemble;
  for (std::size_t i = 0; i < std::min<std::size_t>(5, list.items.size()); ++i)
    out.best.push_back({title_of(data, list.items[i]), list.scores[i], list.items[i] == result.target});
  auto const found = std::ranges::find(list.items, result.target);
  if (found != list.items.end()) out.place = found - list.items.begin() + 1;
  return out;
}

}  // namespace

std::string title_of(item_descriptions const& items, item_id item) {
  auto const found = items.find(item);
  return found != items.end() && !found->second.title.empty() ? found->second.title
                                                              : "item " + std::to_string(index(item));
}

std::string title_of(dataset const& data, item_id item) { return title_of(data.items, item); }

std::vector<shown_example> examples_of(dataset const& data, evaluation const& found, evaluation_options const& options,
                                       std::size_t count) {
  std::vector<shown_example> shown;
  for (auto const& result : found.examples)
    if (shown.size() < count) shown.push_back(example_of(data, result, options.part));
  return shown;
}

report_page training_report(std::vector<std::string> const& datasets, std::filesystem::path const& model,
                            training_progress const& p) {
  std::string names;
  for (auto const& name : datasets) names += (names.empty() ? "" : ", ") + name;
  auto page =
      page_with("Training on " + names, {{"Model", model.string()},
                                         {"Training", std::to_string(p.epoch) + " epochs, " + grouped(p.examples) +
                                                          " examples, " + clock_time(p.seconds)}});
  page.epochs = p.history;
  page.best_epoch = p.best_epoch;
  return page;
}

report_page translation_report(translation_request const& request, finished_translation const& done) {
  auto const& p = done.trained.progress;
  index_t items = 0;
  for (auto const& one : done.catalogs) items += one.certified.items;
  auto page = page_with("Translation of " + counted(items, "item"),
                        {{"Translator", request.run.out.string()},
                         {"Training", (request.kmeans ? "residual k-means, " : std::to_string(p.epoch) + " epochs, ") +
                                          grouped(p.items) + " items, " + clock_time(p.seconds)},
                         {"Collisions", request.collisions}});
  page.translations.push_back(shown_of(request, done));
  return page;
}

report_page evaluation_report(dataset const& data, std::filesystem::path const& model, evaluation const& found,
                              std::vector<metric_row> rows, evaluation_options const& options) {
  auto const& r = found.result;
  auto page = page_with(r.dataset + ", " + r.split,
                        {{"Model", model.string()},
                         {"Dataset", summary(data)},
                         {"Evaluated", grouped(r.users) + " users, " + std::to_string(r.beams) + " beams, " +
                                           fixed(r.seconds, 1) + " s, " + fixed(r.users_per_second, 1) + " users/s"}});
  page.metrics = std::move(rows);
  page.examples = examples_of(data, found, options, 12);
  try {
    if (auto const run = saved_progress(model)) {
      page.epochs = run->history;
      page.best_epoch = run->best_epoch;
    }
  } catch (
      file_error const&) {  // a damaged state is no reason to lose the evaluation: the page goes without the curves
  }
  return page;
}

}  // namespace mql4grec::program
