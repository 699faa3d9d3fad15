#pragma once
// Random sequences about as long as those of Instruments, and a catalog as large: what whole-system benchmarks of
// every backend run on.
#include <array>
#include <vector>

#include "mql4grec/core/random.hpp"
#include "mql4grec/language/token_table.hpp"
#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/tasks/batch.hpp"

namespace bench {

/// Queries of 4 tokens an item for 1 … most items, each with its prompt and </s>.
inline mql4grec::tasks::batch random_batch(mql4grec::index_t examples, mql4grec::index_t most_items,
                                           bool with_targets) {
  using namespace mql4grec;
  mql4grec::random_stream random(7, 0);
  auto const token = [&] { return token_t(static_cast<std::int32_t>(2 + random.below(2048))); };
  mql4grec::tasks::batch all;
  for (index_t i = 0; i < examples; ++i) {
    for (index_t n = 3 + 4 * (1 + random.below(most_items)); n > 0; --n) all.add_input(token());
    all.close_input();
    for (int level = 0; with_targets && level < 4; ++level) all.add_target(std::array{token()});
    if (with_targets) all.close_target();
  }
  return all;
}

/// Queries of `items` items each, with their prompt and </s>.
inline mql4grec::tasks::batch equal_queries(mql4grec::index_t queries, mql4grec::index_t items) {
  using namespace mql4grec;
  mql4grec::random_stream random(11, 0);
  mql4grec::tasks::batch all;
  for (index_t i = 0; i < queries; ++i) {
    for (index_t n = 3 + 4 * items; n > 0; --n)
      all.add_input(token_t(static_cast<std::int32_t>(2 + random.below(2048))));
    all.close_input();
  }
  return all;
}

/// A random history whose length is distributed as that of a test query of Instruments: 4 to 20 items, half of them at
/// most 5, 2.8 % of them 20.
inline std::vector<mql4grec::item_id> random_history(mql4grec::random_stream& random, mql4grec::index_t items) {
  using namespace mql4grec;
  constexpr index_t first = 4, per_mille[] = {331, 199, 125, 84, 61, 42, 31, 23, 19, 14, 11, 9, 7, 6, 5, 5, 28};
  index_t length = first;
  for (index_t rest = static_cast<index_t>(random.below(1000)); rest >= per_mille[length - first]; ++length)
    rest -= per_mille[length - first];
  std::vector<item_id> history;
  for (index_t i = 0; i < length; ++i) history.push_back(item_id(static_cast<std::int32_t>(random.below(items))));
  return history;
}

/// Items with a random sequence of four codes each.
inline mql4grec::language::token_table random_catalog(
    mql4grec::index_t items = 6250, mql4grec::language::modality kind = mql4grec::language::modality::text) {
  using namespace mql4grec;
  mql4grec::language::token_table table(kind, items, 4);
  mql4grec::random_stream random(3, static_cast<std::uint64_t>(kind));
  mql4grec::language::vocabulary const vocab;
  for (index_t i = 0; i < table.items(); ++i) {
    token_t sequence[4];
    for (index_t level = 0; level < 4; ++level)
      sequence[level] = vocab.token(kind, level, code_t(static_cast<std::int32_t>(random.below(256))));
    table.set(item_id(static_cast<std::int32_t>(i)), sequence);
  }
  return table;
}

}  // namespace bench
