// What the commands show of a training run and of an evaluation.
#include "report.hpp"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <fstream>
#include <map>
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

std::string words_of(language::token_table const& table, language::vocabulary const& vocab, item_id item) {
  std::string text;
  for (auto const token : table.of(item)) text += vocab.text(token);
  return text;
}

shown_item shown(tasks::dataset const& data, language::vocabulary const& vocab, item_id item) {
  shown_item out{.item = item, .title = title_of(data, item)};
  for (auto const& table : data.tokens) out.words.push_back(words_of(table, vocab, item));
  return out;
}

shown_example::list list_of(evaluation_report_inputs const& inputs, std::string name, rank::ranking const& list,
                            item_id target) {
  shown_example::list out{.name = std::move(name), .best = {}};
  for (std::size_t i = 0; i < std::min<std::size_t>(5, list.items.size()); ++i)
    out.best.push_back({shown(inputs.data, inputs.vocab, list.items[i]), list.scores[i], list.items[i] == target});
  return out;
}

shown_example example_of(evaluation_report_inputs const& inputs, pipeline::user_result const& result) {
  constexpr index_t history_shown = 6;
  auto const user = static_cast<std::size_t>(result.user);
  shown_example out{.user = std::string(inputs.data.interactions.user_keys.at(user)),
                    .history = {},
                    .target = shown(inputs.data, inputs.vocab, result.target),
                    .lists = {}};
  auto const history = catalog::history(inputs.data.interactions, result.user, inputs.options.part);
  out.earlier = std::max<index_t>(0, std::ssize(history) - history_shown);
  for (auto const item : history.subspan(static_cast<std::size_t>(out.earlier)))
    out.history.push_back(shown(inputs.data, inputs.vocab, item));
  for (std::size_t m = 0; m < result.by_modality.size(); ++m)
    if (!result.by_modality[m].items.empty())
      out.lists.push_back(
          list_of(inputs, language::name_of(language::modality(m)), result.by_modality[m], result.target));
  out.lists.push_back(list_of(inputs, "ensemble", result.ensemble, result.target));
  auto const found = std::ranges::find(result.ensemble.items, result.target);
  if (found != result.ensemble.items.end()) out.place = found - result.ensemble.items.begin() + 1;
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

std::vector<shown_language> languages_of(tasks::dataset const& data, language::vocabulary const& vocab) {
  constexpr std::size_t words_shown = 12, items_shown = 6;
  std::vector<shown_language> out;
  for (auto const& table : data.tokens) {
    std::map<token_t, std::vector<item_id>> by_word;
    for (auto const item : table.present()) by_word[table.of(item).front()].push_back(item);
    if (by_word.empty()) continue;
    shown_language language{
        .modality = language::name_of(table.kind()), .words_in_use = std::ssize(by_word), .most_used = {}};
    std::vector<std::pair<token_t, std::vector<item_id>>> words(by_word.begin(), by_word.end());
    std::ranges::stable_sort(words, std::ranges::greater{}, [](auto const& word) { return word.second.size(); });
    words.resize(std::min(words.size(), words_shown));
    for (auto& [token, items] : words) {
      std::ranges::stable_sort(
          items, [&](item_id a, item_id b) { return std::ranges::lexicographical_compare(table.of(a), table.of(b)); });
      shown_language::word word{.text = vocab.text(token), .items = std::ssize(items), .some = {}};
      items.resize(std::min(items.size(), items_shown));
      for (auto const item : items) word.some.push_back(shown(data, vocab, item));
      language.most_used.push_back(std::move(word));
    }
    out.push_back(std::move(language));
  }
  return out;
}

std::vector<shown_example> examples_of(evaluation_report_inputs const& inputs, std::size_t count) {
  std::vector<shown_example> examples;
  for (auto const& result : inputs.found.examples)
    if (examples.size() < count) examples.push_back(example_of(inputs, result));
  return examples;
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
  page.examples = examples_of(inputs, 12);
  page.languages = languages_of(inputs.data, inputs.vocab);
  page.pictures = std::move(inputs.pictures);
  if (inputs.training) {
    page.epochs = std::move(inputs.training->history);
    page.best_epoch = inputs.training->best_epoch;
  }
  return page;
}

}  // namespace mql4grec::program
