// What the commands show of a training run and of an evaluation.
#include "report.hpp"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <fstream>
#include <thread>
#include <utility>

#include "text.hpp"

namespace mql4grec::program {

namespace {

std::string command_line;

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

shown_example example_of(tasks::dataset const& data, pipeline::user_result const& result, catalog::split part) {
  auto const user = static_cast<std::size_t>(result.user);
  shown_example out{
      .user = data.interactions.user_keys.at(user), .history = {}, .target = title_of(data, result.target), .best = {}};
  for (auto const item : catalog::history(data.interactions, result.user, part))
    out.history.push_back(title_of(data, item));
  auto const& list = result.ensemble;
  for (std::size_t i = 0; i < std::min<std::size_t>(5, list.items.size()); ++i)
    out.best.push_back({title_of(data, list.items[i]), list.scores[i], list.items[i] == result.target});
  auto const found = std::ranges::find(list.items, result.target);
  if (found != list.items.end()) out.place = found - list.items.begin() + 1;
  return out;
}

}  // namespace

void remember_command_line(int count, char const* const* arguments) {
  command_line = "mql4grec";
  for (int i = 1; i < count; ++i) {
    std::string const word = arguments[i];
    bool const plain = !word.empty() && word.find_first_of(" \t\n\"'\\$&|;<>()*?") == word.npos;
    command_line += plain ? " " + word : " '" + word + "'";
  }
}

report_page page_with(std::string title, report_facts facts) {
  facts.emplace_back("Machine", machine());
  facts.emplace_back("Date", date());
  facts.emplace_back("Command", command_line);
  return {.title = std::move(title), .facts = std::move(facts), .epochs = {}, .metrics = {}, .examples = {}};
}

std::string title_of(catalog::item_descriptions const& items, item_id item) {
  auto const found = items.find(item);
  return found != items.end() && !found->second.title.empty() ? found->second.title
                                                              : "item " + std::to_string(index(item));
}

std::string title_of(tasks::dataset const& data, item_id item) { return title_of(data.items, item); }

std::vector<shown_example> examples_of(tasks::dataset const& data, pipeline::evaluation const& found,
                                       pipeline::evaluation_options const& options, std::size_t count) {
  std::vector<shown_example> shown;
  for (auto const& result : found.examples)
    if (shown.size() < count) shown.push_back(example_of(data, result, options.part));
  return shown;
}

report_page training_report(std::vector<std::string> const& datasets, std::filesystem::path const& model,
                            seq2seq::training_progress const& p) {
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

report_page evaluation_report(evaluation_report_inputs inputs) {
  auto const& r = inputs.found.result;
  auto page = page_with(r.dataset + ", " + r.split,
                        {{"Model", inputs.model.string()},
                         {"Dataset", summary(inputs.data)},
                         {"Evaluated", grouped(r.users) + " users, " + std::to_string(r.beams) + " beams, " +
                                           fixed(r.seconds, 1) + " s, " + fixed(r.users_per_second, 1) + " users/s"}});
  page.metrics = std::move(inputs.rows);
  page.examples = examples_of(inputs.data, inputs.found, inputs.options, 12);
  if (inputs.training) {
    page.epochs = std::move(inputs.training->history);
    page.best_epoch = inputs.training->best_epoch;
  }
  return page;
}

}  // namespace mql4grec::program
