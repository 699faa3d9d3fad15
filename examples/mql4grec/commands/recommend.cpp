// The command recommend: items for one history.
#include <algorithm>
#include <sstream>

#include "commands.hpp"
#include "compute/compute.hpp"
#include "mql4grec/core/detail/whole_number.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/pipeline/item_sets.hpp"
#include "mql4grec/pipeline/packed_catalog.hpp"
#include "mql4grec/rank/calibration_json.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "report/report.hpp"
#include "report/text.hpp"
#include "signals.hpp"
#include "warnings.hpp"

namespace mql4grec::program {

namespace {
struct command_options {
  std::filesystem::path dataset, model, allow, deny;
  std::string history, scores = "raw";
  std::vector<std::string> quotas;  // NAME=N
  recommend_options request;        // its rules, but for the quotas and the files
  search::beam_options search;
  index_t new_k = 0;
  bool fill_in = false, explain = false;
  common_options common;
};

/// What the command line asks for.
struct asked_items {
  std::vector<item_id> history;
  recommend_options request;
};

/// The item number that is the whole text, spaces aside; −1 when the text is anything else.
item_id item_from(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t') || text.ends_with('\r')) text.remove_suffix(1);
  return item_id(static_cast<std::int32_t>(core::detail::whole_number(text).value_or(-1)));
}

std::vector<item_id> parse_history(std::string const& text) {
  std::vector<item_id> items;
  for (auto const& word : core::detail::split_at_commas(text)) {
    auto const item = item_from(word);
    if (index(item) < 0)
      throw CLI::ValidationError("--history", "'" + word + "' is not an item number, expected numbers like 12,7,99");
    items.push_back(item);
  }
  return items;
}

std::vector<item_id> items_of_json(std::string const& content, std::filesystem::path const& path) {
  auto const list = parse_json(content, path);
  std::vector<item_id> items;
  for (auto const& entry : list) {
    auto const item = item_from(entry.is_number_unsigned() ? entry.dump() : "");
    if (index(item) < 0)
      raise<file_error>(path.string(), ": place ", items.size(), ": expected an item number, found ",
                        core::detail::shown(entry));
    items.push_back(item);
  }
  return items;
}

/// One item number a line, or a JSON list of them.
std::vector<item_id> read_item_list(std::filesystem::path const& path) {
  auto const content = read_text(path);
  auto const first = content.find_first_not_of(" \t\r\n");
  if (first != content.npos && content[first] == '[') return items_of_json(content, path);
  std::vector<item_id> items;
  std::istringstream lines(content);
  std::string line;
  for (index_t number = 1; std::getline(lines, line); ++number) {
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    auto const item = item_from(line);
    expects_file(index(item) >= 0, path, "line ", number, ": expected an item number, found '", line.substr(0, 40),
                 "'");
    items.push_back(item);
  }
  return items;
}

/// The quotas of texts such as "brand:Alpine=2".
std::vector<search::item_quota> parse_quotas(std::vector<std::string> const& texts) {
  std::vector<search::item_quota> quotas;
  for (auto const& text : texts) {
    auto const end = text.rfind('=');
    auto const most =
        end == text.npos ? std::nullopt : core::detail::whole_number(std::string_view(text).substr(end + 1));
    if (!most || end == 0)
      throw CLI::ValidationError("--quota",
                                 "'" + text + "' is not a quota, expected the name of a set and a number, NAME=N");
    quotas.push_back({.set = text.substr(0, end), .most = *most});
  }
  return quotas;
}

/// The dataset's sets, if the request names any. Throws error for one that isn't there.
search::named_sets read_sets(std::filesystem::path const& directory, tasks::dataset const& data,
                             recommend_options const& request) {
  if (!request.filter.names_sets() && request.quotas.empty()) return {};
  auto sets = pipeline::read_item_sets(directory, data);
  auto const check = [&](char const* option, std::string const& name) {
    expects(sets.contains(name), option, ": there is no set '", core::detail::printable(name), "' in ", data.name);
  };
  for (auto const& name : request.filter.any_of) check("--any-of", name);
  for (auto const& name : request.filter.all_of) check("--all-of", name);
  for (auto const& name : request.filter.none_of) check("--none-of", name);
  for (auto const& quota : request.quotas) check("--quota", quota.set);
  return sets;
}

/// The calibration of a model, if its probabilities are asked for. Throws file_error if it was fitted with others than
/// these options.
std::optional<rank::score_calibration> read_calibration(command_options const& options, tasks::dataset const& data) {
  if (options.scores != "calibrated") return std::nullopt;
  auto const file = options.model / "calibration.json";
  expects_file(std::filesystem::exists(file), file, "is missing: `evaluate --calibrate` writes it");
  auto read = rank::read_calibration(file);
  auto used = list_conditions_of({.search = options.search}, data.tokens);
  used.fill_in = options.fill_in;
  auto const other = rank::difference(read.fitted_with, used);
  expects_file(other.empty(), file, other, "; `evaluate --calibrate` with the same options writes another one");
  return read;
}

search::item_filter read_filter(command_options const& options) {
  auto filter = options.request.filter;
  if (!options.deny.empty()) filter.deny = read_item_list(options.deny);
  if (options.allow.empty()) return filter;
  filter.allow = read_item_list(options.allow);
  expects_file(!filter.allow->empty(), options.allow, "holds no items, expected at least one that is allowed");
  return filter;
}

json as_json(tasks::dataset const& data, recommendation const& best) {
  json items = json::array();
  for (std::size_t i = 0; i < best.items.size(); ++i) {
    items.push_back({{"rank", i + 1},
                     {"item", index(best.items[i])},
                     {"score", best.scores[i]},
                     {"title", title_of(data, best.items[i])}});
    if (i < best.probabilities.size()) items.back()["probability"] = best.probabilities[i];
  }
  return items;
}

/// The positions of the history, those that contribute most first.
std::vector<reason> by_drop(explanation const& of) {
  auto reasons = of.reasons;
  std::ranges::stable_sort(reasons, std::ranges::greater(), &reason::drop);
  return reasons;
}

json as_json(explanation const& of, std::vector<item_id> const& history) {
  json because = json::array();
  for (auto const& one : by_drop(of)) {
    json shared;
    for (std::size_t m = 0; m < one.shared_codes.size(); ++m)
      shared[language::name_of(language::modality(m))] = one.shared_codes[m];
    because.push_back({{"item", index(history[to_size(one.position)])},
                       {"position", one.position},
                       {"drop", one.drop},
                       {"shared_codes", shared}});
  }
  return because;
}

/// The two items of the history that contribute most to each recommended one.
std::string as_text(tasks::dataset const& data, std::vector<explanation> const& reasons,
                    std::vector<item_id> const& history) {
  std::string text = "\nbecause of\n";
  for (auto const& of : reasons) {
    text += "  " + std::to_string(index(of.item)) + ": ";
    auto const best = by_drop(of);
    for (std::size_t i = 0; i < std::min<std::size_t>(2, best.size()); ++i) {
      auto const item = history[to_size(best[i].position)];
      text += (i > 0 ? ", " : "") + std::to_string(index(item)) + " (" + fixed(best[i].drop, 2) + ") " +
              one_line(title_of(data, item));
    }
    text += "\n";
  }
  return text;
}

json as_json(command_options const& options, tasks::dataset const& data, std::vector<item_id> const& history,
             recommended_items const& found) {
  json before = json::array();
  for (auto const item : history) before.push_back(index(item));
  json result = {{"dataset", data.name}, {"history", before}, {"items", as_json(data, found.best)}};
  for (std::size_t i = 0; i < found.reasons.size(); ++i)
    result["items"][i]["because"] = as_json(found.reasons[i], history);
  if (options.new_k > 0) result["new_items"] = as_json(data, found.best_new);
  return result;
}

/// The items of the catalog that nobody has interacted with and that the lists of the filter allow.
search::item_list new_items_of(tasks::dataset const& data, search::item_filter const& filter) {
  auto items = pipeline::catalog_of(data);
  auto const known = catalog::interacted_items(data.interactions);
  search::item_choice const is_allowed(filter);
  std::erase_if(items, [&](item_id item) { return !is_allowed(item) || std::ranges::binary_search(known, item); });
  return items;
}

std::string as_text(tasks::dataset const& data, recommendation const& best) {
  auto const right = [](std::string const& text, std::size_t width) {
    return std::string(width - std::min(width, text.size()), ' ') + text;
  };
  bool const calibrated = !best.probabilities.empty();
  std::string text = "rank      item     score  " + std::string(calibrated ? "probability  " : "") + "title\n";
  for (std::size_t i = 0; i < best.items.size(); ++i)
    text += right(std::to_string(i + 1), 4) + right(std::to_string(index(best.items[i])), 10) +
            right(fixed(best.scores[i], 4), 10) + (calibrated ? right(fixed(best.probabilities[i], 6), 13) : "") +
            "  " + one_line(title_of(data, best.items[i])) + "\n";
  return text;
}

/// Warns of named items without tokens.
void warn_of_unknown(command_options const& options, tasks::dataset const& data, asked_items const& asked,
                     progress_log& log) {
  auto const without_tokens = [&](item_id item) {
    return std::ranges::none_of(data.tokens, [&](auto const& table) { return table.has(item); });
  };
  if (auto const unknown = std::ranges::count_if(asked.history, without_tokens); unknown > 0)
    log.warn("--history: " + std::to_string(unknown) + " of its items have no tokens in " + data.name +
             " and are passed over");
  auto const& allow = asked.request.filter.allow;
  if (allow && std::ranges::all_of(*allow, without_tokens))
    log.warn(options.allow.string() + ": none of the " + counted(std::ssize(*allow), "item") +
             " that are allowed has tokens in " + data.name + ", so that nothing can be recommended");
}

int recommend_command(command_options& options) {
  if (options.scores == "calibrated" && options.request.k > options.search.beams)
    throw CLI::ValidationError("--k", "is " + std::to_string(options.request.k) + ", expected at most --beams " +
                                          std::to_string(options.search.beams) + " for --scores calibrated");
  asked_items asked{.history = parse_history(options.history), .request = options.request};
  asked.request.quotas = parse_quotas(options.quotas);
  if (options.scores == "renormalized") asked.request.scores = score_kind::renormalized;
  auto const compute = open_compute(options.common);
  check_json(options.common);
  end_at_interruption();
  asked.request.filter = read_filter(options);
  auto const metadata = pipeline::read_model_metadata(options.model);
  auto const packed = pipeline::find_packed_catalog(options.dataset, metadata.vocab);
  auto const data = packed ? pipeline::read_dataset(options.dataset, packed->tables)
                           : pipeline::read_dataset(options.dataset, metadata.vocab);
  progress_log log({.quiet = options.common.quiet});
  warn_of_precision(*compute, log);
  warn_of_items_without_tokens(data, log);
  warn_of_domain(metadata, data.name, log);
  warn_of_unknown(options, data, asked, log);
  auto const found = compute->recommend(
      {.model = options.model,
       .metadata = metadata,
       .dataset = data.name,
       .tokens = data.tokens,
       .history = asked.history,
       .request = asked.request,
       .search = options.search,
       .sets = read_sets(options.dataset, data, asked.request),
       .calibration = read_calibration(options, data),
       .new_items = options.new_k > 0 ? new_items_of(data, asked.request.filter) : search::item_list(),
       .new_k = options.new_k,
       .fill_in = options.fill_in,
       .explain = options.explain,
       .packed = packed});
  log.begin();
  catch_interruptions();
  put_result(options.common, as_json(options, data, asked.history, found),
             as_text(data, found.best) +
                 (options.explain ? as_text(data, found.reasons, asked.history) : std::string()) +
                 (options.new_k > 0 ? "\nnew items\n" + as_text(data, found.best_new) : std::string()));
  return done;
}
}  // namespace

void add_recommend(CLI::App& program, int& status) {
  auto const options = std::make_shared<command_options>();
  auto& command = *program.add_subcommand("recommend", "the items most likely to come next after a history");
  command.add_option("--dataset", options->dataset, "dataset directory .../Name")->required();
  command.add_option("--model", options->model, "model directory")->required();
  command
      .add_option("--history", options->history, "item numbers, oldest first: 12,7,99; '' for a user without a history")
      ->required();
  command.add_option("--k", options->request.k, "how many items")->check(CLI::Range(1, 4096))->capture_default_str();
  command.add_option("--beams", options->search.beams, "beams of the search")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command
      .add_option("--new-items", options->new_k,
                  "how many items to recommend apart from those that nobody has interacted with")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  command.add_flag("--fill-in", options->fill_in,
                   "write items of the history that lack a modality with tokens that the model generates");
  command.add_flag("--explain", options->explain,
                   "also how much each item of the history contributes: the drop of log p without it");
  command.add_option("--allow", options->allow, "only items of this file: a number a line, or a JSON list");
  command.add_option("--deny", options->deny, "no items of this file");
  auto const add_names = [&](char const* name, std::vector<std::string>& to, char const* meaning) {
    command.add_option(name, to, meaning)->allow_extra_args(false);  // a name may contain any character
  };
  auto& filter = options->request.filter;
  add_names("--any-of", filter.any_of,
            "only items of this set, such as brand:Alpine, or of another one that is given so");
  add_names("--all-of", filter.all_of, "only items of this set, and of every other one that is given so");
  add_names("--none-of", filter.none_of, "no items of this set");
  add_names("--quota", options->quotas, "NAME=N: at most N items of the set NAME");
  command.add_flag("--exclude-seen", options->request.exclude_seen, "no items of the history");
  command
      .add_option("--scores", options->scores,
                  "raw, renormalized (log p among the items that are searched), or calibrated (also probabilities)")
      ->check(CLI::IsMember({"raw", "renormalized", "calibrated"}))
      ->capture_default_str();
  add_common_options(command, options->common);
  command.callback([options, &status] { status = recommend_command(*options); });
}

}  // namespace mql4grec::program
