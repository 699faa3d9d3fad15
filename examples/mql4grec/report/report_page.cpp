// The page of a report: HTML that contains its style, light or dark as the reader's system is.
#include <algorithm>
#include <array>

#include "mql4grec/core/files.hpp"
#include "pictures.hpp"
#include "report.hpp"
#include "svg.hpp"
#include "text.hpp"

namespace mql4grec::program {

namespace {

constexpr char const* style = R"(
:root { color-scheme: light dark; --ground: #fbfbf9; --card: #fff; --ink: #1d2126; --soft: #5d6570; --rule: #e3e4e0;
  --s0: #2f6fdb; --s1: #c8691a; --s2: #178a5c; --s3: #9aa0a8; --hit: #e4f5ec; }
@media (prefers-color-scheme: dark) { :root { --ground: #15181c; --card: #1c2026; --ink: #e8eaed; --soft: #9da5b0; --rule: #30363e;
  --s0: #6ea5ff; --s1: #f0a05a; --s2: #4cc38c; --s3: #7d848e; --hit: #173527; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { margin: 0 0 1rem; font-size: 1.9rem; line-height: 1.2; }
h2 { margin: 0 0 .75rem; font-size: 1.2rem; }
h3 { margin: 0 0 .5rem; font-size: 1rem; }
section { margin-top: 1.5rem; padding: 1.25rem; background: var(--card); border: 1px solid var(--rule); border-radius: .6rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; font-size: .92rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
svg { display: block; width: 100%; min-width: 36rem; height: auto; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
svg .middle, svg .value { text-anchor: middle; } svg .end { text-anchor: end; } svg .value { font-size: 10px; }
.rule { stroke: var(--rule); } .base { stroke: var(--soft); } .mark { stroke: var(--soft); stroke-dasharray: 3 4; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; } .line.s1 { stroke-dasharray: 7 4; }
.s0 { fill: var(--s0); stroke: var(--s0); background: var(--s0); } .s1 { fill: var(--s1); stroke: var(--s1); background: var(--s1); }
.s2 { fill: var(--s2); stroke: var(--s2); background: var(--s2); } .s3 { fill: var(--s3); stroke: var(--s3); background: var(--s3); }
rect { stroke: none !important; } rect.unused { fill: var(--ground); } polyline { fill: none !important; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: 0 0 .5rem; color: var(--soft); font-size: .9rem; }
.legend i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: .2em; }
table { width: 100%; margin-top: 1rem; border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { padding-bottom: .4rem; color: var(--soft); font-size: .9rem; text-align: left; }
th, td { padding: .35rem .5rem; border-bottom: 1px solid var(--rule); text-align: right; }
th:first-child { text-align: left; } thead th { color: var(--soft); font-weight: 500; } tbody th { font-weight: 500; }
td.best { font-weight: 700; }
.examples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 25rem), 1fr)); gap: 1rem; }
article { padding: 1rem; border: 1px solid var(--rule); border-radius: .5rem; }
h4 { margin: 0 0 .4rem; font-size: .9rem; font-weight: 600; }
.users { display: grid; gap: 1rem; } .words { display: grid; gap: .75rem; margin-bottom: 1.2rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); }
.items { display: grid; grid-template-columns: repeat(auto-fill, minmax(7.5rem, 1fr)); gap: .6rem; }
figure { min-width: 0; margin: 0; font-size: .8rem; line-height: 1.3; }
figcaption span { display: block; overflow-wrap: anywhere; }
figure code { display: block; color: var(--soft); font-size: .68rem; overflow-wrap: anywhere; }
.picture { display: block; width: 4rem; height: 4rem; margin-bottom: .25rem; border-radius: .3rem;
  background: var(--ground) center / contain no-repeat; }
li .picture, .target .picture { flex: none; display: inline-block; width: 1.75rem; height: 1.75rem; margin: 0; vertical-align: middle; }
.target .picture { margin-right: .4rem; }
.lists { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); gap: 1rem; }
.history { margin: 0 0 .6rem; color: var(--soft); font-size: .9rem; overflow-wrap: anywhere; }
.more { margin: .3rem .5rem 0; color: var(--soft); font-size: .9rem; } table + h3, .wide + h3 { margin-top: 1.2rem; }
.target { margin: .8rem 0 .6rem; font-size: .92rem; overflow-wrap: anywhere; }
ol { margin: 0; padding: 0; list-style: none; counter-reset: place; font-size: .92rem; }
li { display: flex; gap: .6rem; padding: .2rem .5rem; border-radius: .3rem; counter-increment: place; }
li::before { content: counter(place); color: var(--soft); }
li span { flex: 1; overflow-wrap: anywhere; } li data { color: var(--soft); font-variant-numeric: tabular-nums; }
li.hit { background: var(--hit); font-weight: 600; }
footer { margin-top: 1.5rem; color: var(--soft); font-size: .85rem; }
)";

constexpr std::array<char const*, 5> metric_names = {"HR@1", "HR@5", "HR@10", "NDCG@5", "NDCG@10"};
std::array<double, 5> values_of(metrics::metric_values const& m) {
  return {m.hit(1), m.hit(5), m.hit(10), m.ndcg(5), m.ndcg(10)};
}

std::string element(std::string const& name, std::string const& content, std::string const& attributes = "") {
  return "<" + name + (attributes.empty() ? "" : " " + attributes) + ">" + content + "</" + name + ">";
}
std::string section(std::string const& title, std::string const& content) {
  return element("section", element("h2", escaped(title)) + content) + "\n";
}

std::string head_of(report_page const& page) {
  std::string facts;
  for (auto const& [name, value] : page.facts) facts += element("dt", escaped(name)) + element("dd", escaped(value));
  return element("header", element("h1", escaped(page.title)) + element("dl", facts)) + "\n";
}

std::string metric_chart(std::vector<metric_row> const& rows) {
  std::vector<chart_bars> series;
  for (auto const& [name, metrics] : rows) {
    if (name.starts_with("item ") || !metrics) continue;  // the table has them
    auto const values = values_of(*metrics);
    series.push_back(
        {name, "s" + std::to_string(std::min<std::size_t>(series.size(), 3)), {values.begin(), values.end()}});
  }
  return element("div",
                 bar_chart({.title = "Bars: hit rate and NDCG of each list, as in the table below",
                            .groups = {metric_names.begin(), metric_names.end()}},
                           series),
                 "class=\"wide\"");
}

std::string metric_rows(std::vector<metric_row> const& rows) {
  std::array<double, 5> best = {};
  for (auto const& row : rows)
    for (std::size_t i = 0; row.values && i < best.size(); ++i) best[i] = std::max(best[i], values_of(*row.values)[i]);
  std::string body;
  for (auto const& row : rows) {
    auto cells = element("th", escaped(row.name), "scope=\"row\"");
    for (std::size_t i = 0; i < best.size(); ++i) {
      if (!row.values) {
        cells += element("td", "-");
        continue;
      }
      double const value = values_of(*row.values)[i];
      cells += element("td", fixed(value, 4), value == best[i] ? "class=\"best\"" : "");
    }
    body += element("tr", cells);
  }
  return body;
}

std::string metric_section(std::vector<metric_row> const& rows) {
  if (rows.empty()) return "";
  auto names = element("th", "", "scope=\"col\"");
  for (auto const* name : metric_names) names += element("th", name, "scope=\"col\"");
  auto const table = element(
      "table", element("caption", "Means over users; the best of each column is bold. The whole catalog is ranked.") +
                   element("thead", element("tr", names)) + element("tbody", metric_rows(rows)));
  return section("How well it ranks", metric_chart(rows) + element("div", table, "class=\"wide\""));
}

std::string loss_section(report_page const& page) {
  if (page.epochs.empty()) return "";
  chart_line train{"training", "s0", {}}, valid{"validation", "s1", {}};
  for (auto const& epoch : page.epochs) {
    train.values.push_back(epoch.train_loss);
    valid.values.push_back(epoch.valid_loss);
  }
  bool const validated = std::ranges::any_of(valid.values, [](double v) { return v > 0; });
  auto lines = std::vector{train};
  if (validated) lines.push_back(valid);
  auto const chart =
      line_chart({.title = "Lines: training and validation loss of " + std::to_string(page.epochs.size()) + " epochs",
                  .x = "epoch",
                  .y = "cross-entropy a token, nats",
                  .marked_x = static_cast<double>(page.best_epoch),
                  .mark = "kept: epoch " + std::to_string(page.best_epoch)},
                 lines);
  return section("How it learnt", element("div", chart, "class=\"wide\""));
}

// ---- translation ----------------------------------------------------------------------------------------------------

/// One value of every look at the catalog.
template <class Value>
chart_line evaluation_line(shown_translation const& t, std::string const& name, char const* line_style, Value&& value) {
  chart_line line{name, line_style, {}};
  for (std::size_t i = 0; i < t.epochs.size(); ++i) {
    if (!t.epochs[i].evaluation) continue;
    line.values.push_back(value(*t.epochs[i].evaluation));
    line.at.push_back(static_cast<double>(i + 1));
  }
  return line;
}

std::string learning_of(shown_translation const& t) {
  if (t.epochs.empty()) return "";  // k-means has none
  auto const error = evaluation_line(t, "reconstruction error, whole catalog", "s0",
                                     [&](auto const& e) { return e.reconstruction_error / t.error_unit; });
  auto const collisions = evaluation_line(t, "items that share another's codes, before they are reallocated", "s1",
                                          [](auto const& e) { return 100 * e.collision_rate; });
  auto const mark = "kept: epoch " + std::to_string(t.best_epoch);
  auto const marked = static_cast<double>(t.best_epoch);
  return element("div",
                 line_chart({.title = "Line: reconstruction error over the epochs",
                             .x = "epoch",
                             .y = "mean squared error",
                             .marked_x = marked,
                             .mark = mark},
                            {error}),
                 "class=\"wide\"") +
         element("div",
                 line_chart({.title = "Line: collision rate over the epochs",
                             .x = "epoch",
                             .y = "% of the items",
                             .marked_x = marked,
                             .mark = mark},
                            {collisions}),
                 "class=\"wide\"");
}

std::string usage_of(shown_translation const& t) {
  std::vector<heat_row> rows;
  for (std::size_t l = 0; l < t.code_counts.size(); ++l)
    rows.push_back({"level " + std::to_string(l + 1), {t.code_counts[l].begin(), t.code_counts[l].end()}});
  return element("p", "How many items have each code, a column a code; darker is more, on a logarithmic scale.",
                 "class=\"history\"") +
         element("div",
                 heat_map({.title = "Heat map: items of each code at each level", .x = "code 0 and up"}, rows, "code",
                          "items"),
                 "class=\"wide\"");
}

std::string collision_table(shown_translation const& t) {
  std::string body;
  for (auto const& f : t.files)
    body += element("tr",
                    element("th", escaped(f.name), "scope=\"row\"") + element("td", grouped(f.items)) +
                        element("td", grouped(f.missing)) + element("td", fixed(100 * f.collisions_before, 2) + " %") +
                        element("td", grouped(f.moved)) + element("td", fixed(100 * f.collisions_after, 2) + " %"));
  std::string head;
  for (auto const* name : {"", "items", "without features", "collisions before", "moved", "after"})
    head += element("th", name, "scope=\"col\"");
  return element("div", element("table", element("thead", element("tr", head)) + element("tbody", body)),
                 "class=\"wide\"");
}

std::string collision_groups_of(shown_translation const& t) {
  if (t.groups.empty()) return "";
  std::string cards;
  for (auto const& group : t.groups) {
    std::string titles;
    for (auto const& title : group.titles) titles += element("li", element("span", escaped(title)));
    auto const unnamed = group.items - std::ssize(group.titles);
    cards +=
        element("article",
                element("h3", escaped(group.codes) + ": " + grouped(group.items) + " items") + element("ol", titles) +
                    (unnamed > 0 ? element("p", "and " + grouped(unnamed) + " more", "class=\"more\"") : ""));
  }
  return element("h3", "The largest groups that shared a sequence") + element("div", cards, "class=\"examples\"");
}

std::string translation_section(shown_translation const& t) {
  return section("How " + t.modality + " features became codes",
                 learning_of(t) + usage_of(t) + collision_table(t) + collision_groups_of(t));
}

// ---- items ----------------------------------------------------------------------------------------------------------

/// An item as a small card: picture, title, tokens.
std::string item_card(shown_item const& item, picture_sheet& pictures) {
  std::string words;
  for (auto const& text : item.words)
    if (!text.empty()) words += element("code", escaped(text));
  return element("figure",
                 pictures.of(item.item) + element("figcaption", element("span", escaped(item.title)) + words));
}

std::string item_cards(std::vector<shown_item> const& items, picture_sheet& pictures) {
  std::string cards;
  for (auto const& item : items) cards += item_card(item, pictures);
  return element("div", cards, "class=\"items\"");
}

std::string language_section(std::vector<shown_language> const& languages, picture_sheet& pictures) {
  std::string content;
  for (auto const& language : languages) {
    std::string words;
    for (auto const& word : language.most_used)
      words += element("article", element("h4", element("code", escaped(word.text)) + " " + grouped(word.items) +
                                                    (word.items == 1 ? " item" : " items")) +
                                      item_cards(word.some, pictures)) +
               "\n";
    content += element("h3", "First tokens of " + escaped(language.modality) + ", " + grouped(language.words_in_use) +
                                 " in use") +
               element("div", words, "class=\"words\"");
  }
  if (content.empty()) return "";
  return section(
      "What the tokens mean",
      element("p", "Items that share a first token, the most used tokens first. Neighbors share further tokens.",
              "class=\"history\"") +
          content);
}

std::string list_column(shown_example::list const& list, picture_sheet& pictures) {
  std::string entries;
  for (auto const& [item, score, hit] : list.best)
    entries += element(
        "li",
        pictures.of(item.item) +
            element("span", escaped(item.title) +
                                (hit ? " <b role=\"img\" aria-label=\"the next interaction\">&#10003;</b>" : "")) +
            element("data", fixed(score, 3), "value=\"" + fixed(score, 6) + "\""),
        hit ? "class=\"hit\"" : "");
  return element("div", element("h4", escaped(list.name)) + element("ol", entries));
}

std::string example_card(shown_example const& example, picture_sheet& pictures) {
  auto const place = example.place > 0 ? "place " + std::to_string(example.place) : "not found";
  std::string lists;
  for (auto const& list : example.lists) lists += list_column(list, pictures);
  auto const earlier =
      example.earlier > 0 ? element("p", grouped(example.earlier) + " earlier items, then", "class=\"history\"") : "";
  return element("article", element("h3", "User " + escaped(example.user)) +
                                (example.history.empty() ? element("p", "No history", "class=\"history\"")
                                                         : earlier + item_cards(example.history, pictures)) +
                                element("p",
                                        "Taken next: " + pictures.of(example.target.item) +
                                            element("strong", escaped(example.target.title)) + " (" + place + ")",
                                        "class=\"target\"") +
                                element("div", lists, "class=\"lists\""));
}

std::string example_section(std::vector<shown_example> const& examples, picture_sheet& pictures) {
  if (examples.empty()) return "";
  std::string cards;
  for (auto const& example : examples) cards += example_card(example, pictures) + "\n";
  auto const note = element(
      "p",
      "The first users of the evaluation, not chosen: their last items, and the lists of each modality and of "
      "both. Scores are mean log-probabilities a token, plus 1 in the ensemble for an item that text and images "
      "both propose.",
      "class=\"history\"");
  return section("What it recommends", note + element("div", cards, "class=\"users\""));
}

}  // namespace

void write_report(std::filesystem::path const& path, report_page const& page) {
  std::string translations;
  for (auto const& translation : page.translations) translations += translation_section(translation);
  picture_sheet pictures(page.pictures);
  auto const languages = language_section(page.languages, pictures);
  auto const examples = example_section(page.examples, pictures);
  write_file(path,
             "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
             "content=\"width=device-width, initial-scale=1\">\n" +
                 element("title", "mql4grec: " + escaped(page.title)) + "\n<style>" + style + pictures.style() +
                 "</style>\n<main>\n" + head_of(page) + metric_section(page.metrics) + loss_section(page) +
                 translations + languages + examples +
                 "<footer>Written by mql4grec " MQL4GREC_VERSION
                 ". HR@k: the held-out item is among the first k. NDCG@k: the same, discounted by its "
                 "place.</footer>\n</main>\n</html>\n");
}

}  // namespace mql4grec::program
