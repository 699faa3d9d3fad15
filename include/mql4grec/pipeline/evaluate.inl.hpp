#pragma once
// Definitions of what pipeline/evaluate.hpp declares and isn't a template.
#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>
#include <utility>

#include "mql4grec/pipeline/evaluate.hpp"

namespace mql4grec::pipeline::detail {

MQL4GREC_DEFINITION metrics::placement sequence_place(rank::ranking const& list, item_id target,
                                                      language::token_table const& table) {
  if (!table.has(target)) return metrics::place_of(list, target);
  auto const wanted = table.of(target);
  std::set<std::vector<token_t>> seen;
  for (auto const item : list.items) {
    auto const sequence = table.of(item);
    if (std::ranges::equal(sequence, wanted) && !sequence.empty()) return {std::ssize(seen), 1};
    if (sequence.empty())
      seen.insert({token_t{-1}, static_cast<token_t>(item)});  // no sequence in this modality: it counts alone
    else
      seen.emplace(sequence.begin(), sequence.end());
  }
  return {};
}

MQL4GREC_DEFINITION void list_evaluator::add(rank::ranking const& list, item_id target) {
  sequence_.add(sequence_place(list, target, *table_));
  item_.add(metrics::expected_place_of(list, target));
}

MQL4GREC_DEFINITION metrics::list_metrics list_evaluator::mean() const {
  if (sequence_.users() == 0) return {};
  return {.sequence = sequence_.mean(), .item = item_.mean()};
}

MQL4GREC_DEFINITION user_evaluator::user_evaluator(std::vector<modality_search> const& searches,
                                                   std::vector<index_t> const& at)
    : searches_(&searches), ensemble_(searches.front().table, at) {
  for (auto const& search : searches) by_modality_.emplace_back(search.table, at);
}

MQL4GREC_DEFINITION void user_evaluator::add(std::vector<rank::ranking> const& lists, rank::ranking const& fused,
                                             item_id target) {
  for (std::size_t m = 0; m < lists.size(); ++m) by_modality_[m].add(lists[m], target);
  ensemble_.add(fused, target);
  ++users_;
}

MQL4GREC_DEFINITION metrics::user_group user_evaluator::mean(std::string name) const {
  metrics::user_group out{.name = std::move(name), .users = users_, .by_modality = {}, .ensemble = ensemble_.mean()};
  for (std::size_t m = 0; m < by_modality_.size(); ++m)
    out.by_modality.push_back((*searches_)[m].trie.leaves() > 0 ? by_modality_[m].mean() : metrics::list_metrics());
  return out;
}

MQL4GREC_DEFINITION void write_query(evaluated_data const& from, language::modality kind, user_id user,
                                     tasks::batch& queries) {
  auto const history = catalog::history(from.data.interactions, user, from.options.part);
  from.model.begin_query(queries);
  from.model.tasks.query(kind).write_query(
      catalog::window_before(history, std::ssize(history), from.options.max_history),
      {.tables = from.history_tokens, .vocab = from.model.vocab}, queries);
}

/// A checksum of the model's vocabulary, and of its tasks by what they ask of the first user.
MQL4GREC_DEFINITION std::uint64_t checksum_of_tasks(evaluated_data const& from) {
  std::string words;
  auto const& vocab = from.model.vocab;
  for (index_t i = 0; i < vocab.size(); ++i) words += (vocab.has_text(token_t(i)) ? vocab.text(token_t(i)) : "") + '\n';
  tasks::batch queries;
  if (!from.users.empty())
    for (auto const& table : from.data.tokens)
      if (language::items_with_sequence(table) > 0) write_query(from, table.kind(), from.users.front(), queries);
  return checksum(std::as_bytes(std::span(queries.inputs)), checksum(std::as_bytes(std::span(words))));
}

MQL4GREC_DEFINITION void check_ranks(evaluated_data const& from, train::run_ranks const& ranks,
                                     std::uint64_t parameters) {
  auto const& o = from.options;
  auto const& how = o.search;
  std::ostringstream options;
  options << std::hexfloat << from.users.size() << ' ' << static_cast<int>(o.part) << ' ' << how.beams << ' '
          << how.length_penalty << ' ' << static_cast<int>(how.normalize) << ' ' << how.score_eos << ' '
          << how.block_rows << ' ' << o.max_history << ' ' << o.fill_in;
  if (o.draft) options << ' ' << o.draft->sequences << ' ' << o.draft->shortest_prefix;
  auto const text = options.str();
  ranks.expect_equal("the model", parameters);
  ranks.expect_equal("the dataset " + from.data.name, checksum_of(from.data));
  ranks.expect_equal("the set of options", checksum(std::as_bytes(std::span(text))));
  ranks.expect_equal("the model's vocabulary and tasks", checksum_of_tasks(from));
}

/// The result of query `q` in the released code's format; the target must have a sequence.
MQL4GREC_DEFINITION void save_user(metrics::saved_search& out, modality_search const& search, index_t q,
                                   evaluated_data const& from) {
  auto const user = from.users[to_size(q)];
  auto const right = catalog::target(from.data.interactions, user, from.options.part);
  if (!search.table.has(right)) return;
  std::vector<token_t> sequences;
  for (auto const leaf : search.found.leaves_of(q)) {
    auto const tokens = search.table.of(search.trie.items(leaf).front());
    sequences.insert(sequences.end(), tokens.begin(), tokens.end());
  }
  auto const scores = search.found.scores_of(q);
  std::vector<double> const wide(scores.begin(), scores.end());
  out.add({.user = user, .sequences = sequences, .scores = wide, .target = search.table.of(right)}, from.model.vocab);
}

/// The probability that the model gives to an item; see evaluation::claimed.
MQL4GREC_DEFINITION double claimed_probability(std::vector<modality_search> const& searches,
                                               std::vector<rank::ranking> const& lists,
                                               search::beam_options const& options, item_id item) {
  double sum = 0, modalities = 0;
  for (std::size_t m = 0; m < lists.size(); ++m) {
    if (!searches[m].table.has(item)) continue;
    ++modalities;
    auto const found = std::ranges::find(lists[m].items, item);
    if (found == lists[m].items.end()) continue;
    auto const length = static_cast<double>(searches[m].table.levels() + (options.score_eos ? 1 : 0));
    sum +=
        std::exp(lists[m].scores[to_size(found - lists[m].items.begin())] * std::pow(length, options.length_penalty));
  }
  return modalities > 0 ? std::min(1.0, sum / modalities) : 0;
}

/// Appends the outcomes of the first items of a fused list.
MQL4GREC_DEFINITION void add_outcomes(evaluation& out, evaluated_data const& from,
                                      std::vector<modality_search> const& searches,
                                      std::vector<rank::ranking> const& lists, rank::ranking const& fused,
                                      item_id target) {
  for (std::size_t i = 0; i < fused.items.size() && std::cmp_less(i, from.options.outcomes); ++i) {
    auto const item = fused.items[i];
    out.outcomes.push_back({fused.scores[i], item == target});
    out.claimed.push_back({claimed_probability(searches, lists, from.options.search, item), item == target});
  }
}

/// What the fused scores of an evaluation depend on.
MQL4GREC_DEFINITION rank::list_conditions conditions_of(evaluated_data const& from,
                                                        std::vector<modality_search> const& searches) {
  auto const& how = from.options;
  rank::list_conditions used{.search = how.search,
                             .fusion = how.fusion.name(),
                             .modalities = {},
                             .max_history = std::min(how.max_history, catalog::default_max_history),
                             .fill_in = how.fill_in};
  for (auto const& each : searches)
    if (each.trie.leaves() > 0) used.modalities.push_back(language::name_of(each.table.kind()));
  return used;
}

MQL4GREC_DEFINITION evaluation evaluate_lists(evaluated_data const& from,
                                              std::vector<modality_search> const& searches) {
  constexpr std::size_t shown = 12;
  expects(!searches.empty(), "evaluate: the dataset has no modality");
  auto const& by_time = from.data.interactions.time;
  new_items const is_new(from.data.interactions);
  user_evaluator all(searches, from.options.at), warm = all, cold = all, drafted = all;
  evaluation out;
  out.saved.resize(searches.size());
  out.conditions = conditions_of(from, searches);
  for (index_t q = 0; q < std::ssize(from.users); ++q) {
    auto const user = from.users[to_size(q)];
    auto const right = catalog::target(from.data.interactions, user, from.options.part);
    std::vector<rank::ranking> lists;
    for (std::size_t m = 0; m < searches.size(); ++m) {
      lists.push_back(rank::ranking_of(searches[m].found, q, searches[m].trie));
      save_user(out.saved[m], searches[m], q, from);
    }
    auto fused = from.options.fusion.fuse(lists);
    all.add(lists, fused, right);
    add_outcomes(out, from, searches, lists, fused, right);
    out.places.push_back(metrics::expected_place_of(fused, right));
    if (by_time) (is_new(right) ? cold : warm).add(lists, fused, right);
    if (by_time && from.options.draft && is_new(right)) {
      std::vector<rank::ranking> new_lists;
      for (auto const& search : searches) new_lists.push_back(rank::ranking_of(search.drafted, q, search.trie, is_new));
      drafted.add(new_lists, from.options.fusion.fuse(new_lists), right);
    }
    if (out.examples.size() < shown) out.examples.push_back({user, right, std::move(lists), std::move(fused)});
  }
  auto const whole = all.mean("all");
  bool const is_test = from.options.part == catalog::split::test;
  out.result = {.dataset = from.data.name,
                .split = by_time && is_test ? "time" : catalog::name_of(from.options.part),
                .users = std::ssize(from.users),
                .beams = from.options.search.beams,
                .by_modality = whole.by_modality,
                .ensemble = whole.ensemble};
  if (!by_time) return out;
  out.result.until = by_time->until;
  out.result.groups = {warm.mean("warm"), cold.mean("cold")};
  if (from.options.draft) out.result.groups.push_back(drafted.mean("drafted"));
  return out;
}

}  // namespace mql4grec::pipeline::detail
