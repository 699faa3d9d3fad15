#pragma once
// Definitions of what pipeline/evaluate.hpp declares and isn't a template.
#include <algorithm>
#include <set>

#include "mql4grec/pipeline/evaluate.hpp"

namespace mql4grec::detail {

MQL4GREC_DEFINITION placement sequence_place(ranking const& list, item_id target, token_table const& table) {
  if (!table.has(target)) return place_of(list, target);
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

MQL4GREC_DEFINITION void save_user(saved_search& out, beams const& found, index_t query, item_trie const& trie,
                                   token_table const& table, user_id user, item_id target, vocabulary const& vocab) {
  if (!table.has(target)) return;
  std::vector<token_t> sequences;
  for (auto const leaf : found.leaves_of(query)) {
    auto const tokens = table.of(trie.items(leaf).front());
    sequences.insert(sequences.end(), tokens.begin(), tokens.end());
  }
  auto const scores = found.scores_of(query);
  out.add(user, sequences, std::vector<double>(scores.begin(), scores.end()), table.of(target), vocab);
}

}  // namespace mql4grec::detail
