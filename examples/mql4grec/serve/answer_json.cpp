// Answers as JSON.
#include "answer_json.hpp"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "report/text.hpp"

namespace mql4grec::program {

std::string text_of(json const& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

http_response failure(unsigned status, std::string const& why,
                      std::vector<std::pair<std::string, std::string>> headers) {
  return {.status = status, .body = text_of({{"error", one_line(why)}}), .headers = std::move(headers)};
}

json shown_item(served_catalog const& catalog, item_id item) {
  json out = {{"item", catalog.id_of(item)}};
  if (auto const title = catalog.title_of(item); !title.empty()) out["title"] = title;
  if (!catalog.picture_of(item).empty()) {
    auto const& id = out["item"];  // not the number, which may be the raw id of another item
    out["picture"] = "/pictures/" + encoded_percent(id.is_string() ? id.get<std::string>() : id.dump());
  }
  return out;
}

json shown_items(served_catalog const& catalog, std::span<item_id const> items) {
  json out = json::array();
  for (auto const item : items) out.push_back(shown_item(catalog, item));
  return out;
}

json shown_item_with_words(served_catalog const& catalog, item_id item) {
  auto shown = shown_item(catalog, item);
  shown["number"] = index(item);
  shown["codes"] = catalog.words_of(item);
  shown["sets"] = catalog.sets_of(item);
  return shown;
}

namespace {

json shown_times(stage_times const& times) {
  auto const ms = [](std::chrono::nanoseconds time) { return std::chrono::duration<double, std::milli>(time).count(); };
  return {
      {"queue", ms(times.queue)}, {"encode", ms(times.encode)}, {"search", ms(times.search)}, {"rank", ms(times.rank)}};
}

/// The items with their scores and their places in the lists of the modalities; `calibrated`: with their probabilities,
/// if the answer has them.
json shown_ranking(served_catalog const& catalog, recommendation const& best, bool calibrated) {
  json items = json::array();
  for (std::size_t i = 0; i < best.items.size(); ++i) {
    auto one = shown_item(catalog, best.items[i]);
    one["score"] = best.scores[i];
    if (calibrated && i < best.probabilities.size()) one["probability"] = best.probabilities[i];
    for (std::size_t m = 0; m < best.by_modality.size(); ++m) {
      auto const kind = language::modality(m);
      json place;
      if (auto const found = best.place_in(kind, best.items[i]))
        place = {{"rank", found->rank}, {"score", found->score}};
      one[language::name_of(kind)] = place;
    }
    items.push_back(std::move(one));
  }
  return items;
}

/// The first k items of each modality's own ranking.
json shown_lists(served_catalog const& catalog, recommendation const& best, index_t k) {
  json lists = json::object();
  for (std::size_t m = 0; m < best.by_modality.size(); ++m) {
    auto const& list = best.by_modality[m];
    json items = json::array();
    for (std::size_t i = 0; i < std::min(list.items.size(), to_size(k)); ++i) {
      items.push_back(shown_item(catalog, list.items[i]));
      items.back()["score"] = list.scores[i];
    }
    lists[language::name_of(language::modality(m))] = std::move(items);
  }
  return lists;
}

/// Adds to each item the items of the history that moved it, those that moved it most first.
void add_reasons(json& items, served_catalog const& catalog, std::span<item_id const> history,
                 std::span<explanation const> why) {
  for (std::size_t i = 0; i < why.size(); ++i) {
    auto reasons = why[i].reasons;
    std::ranges::stable_sort(reasons, std::ranges::greater(), &reason::drop);
    json list = json::array();
    for (auto const& one : reasons) {
      auto shown = shown_item(catalog, history[to_size(one.position)]);
      shown["position"] = one.position;
      shown["drop"] = one.drop;
      shown["shared_words"] = one.shared_codes.empty() ? 0 : std::ranges::max(one.shared_codes);
      list.push_back(std::move(shown));
    }
    items[i]["because"] = std::move(list);
  }
}

/// The beams after each step, by modality.
json shown_trace(served_catalog const& catalog, search_trace const& trace) {
  json out = json::object();
  for (std::size_t m = 0; m < trace.size(); ++m) {
    if (trace[m].empty()) continue;
    json steps = json::array();
    for (auto const& step : trace[m]) {
      json beams = json::array();
      for (auto const& beam : step) {
        json words = json::array();
        for (auto const token : beam.tokens) words.push_back(catalog.vocab().text(token));
        beams.push_back({{"words", std::move(words)}, {"score", beam.score}});
      }
      steps.push_back(std::move(beams));
    }
    out[language::name_of(language::modality(m))] = std::move(steps);
  }
  return out;
}

/// Whether a trace has all steps of all modalities.
bool is_whole(served_catalog const& catalog, search_trace const& trace) {
  return std::ranges::all_of(catalog.data().tokens, [&](auto const& table) {
    auto const m = to_size(table.kind());
    return table.present().empty() || (m < trace.size() && std::ssize(trace[m]) == table.levels());
  });
}

}  // namespace

json shown_answer(served_catalog const& catalog, recommend_body const& asked, serving_answer const& answer) {
  auto const& request = asked.request;
  auto const& best = answer.best;
  json out = {{"items", shown_ranking(catalog, best, asked.calibrated)},
              {"complete", best.complete},
              {"timings_ms", shown_times(best.times)}};
  if (request.explain) {
    add_reasons(out["items"], catalog, request.history, answer.why);
    out["reasons_complete"] = best.complete && answer.why.size() == best.items.size() &&
                              std::ranges::all_of(answer.why, &explanation::complete);
  }
  if (request.trace) {
    out["trace"] = shown_trace(catalog, answer.trace);
    out["trace_complete"] = is_whole(catalog, answer.trace);
  }
  if (asked.lists) out["lists"] = shown_lists(catalog, best, request.options.k);
  return out;
}

json shown_dataset(served_catalog const& catalog) {
  auto const& data = catalog.data();
  json modalities = json::array();
  for (auto const& table : data.tokens)
    if (!table.present().empty())
      modalities.push_back({{"name", language::name_of(table.kind())},
                            {"levels", table.levels()},
                            {"items", table.present().size()},
                            {"example", catalog.vocab().text(table.of(table.present().front()))}});
  return {{"dataset", data.name}, {"items", catalog.items()}, {"modalities", modalities}};
}

}  // namespace mql4grec::program
