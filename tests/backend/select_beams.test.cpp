#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
// The trie of these tests: the root 0 has the children 1 (token 2), 2 (token 4); node 1 has 3 (token 2), 4 (token 3), node 2
// has 5 (token 2).
vector<node_t> const first_child{1, 3, 5, 6, 6, 6, 6};
vector<token_t> const token{token_t{0}, token_t{2}, token_t{4}, token_t{2}, token_t{3}, token_t{2}};

struct choice {
  matrix<double> scores;
  matrix<std::int32_t> parents, nodes;
  std::vector<index_t> counts;
};

/// One step from rows that stand on `nodes` with `scores`; logits over five tokens, taken for log p.
template <class B>
choice step(B& b, matrix<double> const& logits, vector<double> const& scores, vector<node_t> const& nodes,
            vector<index_t> const& row_offsets, index_t beams, bool over_children = false,
            matrix<std::uint8_t> const& allowed = {}) {
  index_t const users = row_offsets.size() - 1;
  auto const firsts = on(b, first_child), at = on(b, nodes);
  auto const rows = on(b, row_offsets);
  auto const tokens = on(b, token);
  auto const so_far = on(b, scores), normalisers = on(b, constant(nodes.size(), 0.));
  auto const x = on(b, logits);
  auto const permitted = on(b, allowed);
  auto best = poisoned<double>(b, {users, beams});
  auto parents = poisoned<std::int32_t>(b, {users, beams}), reached = poisoned<std::int32_t>(b, {users, beams});
  auto counts = poisoned<index_t>(b, users);
  select_beams<double>(b,
                       {.logits = x,
                        .scores = so_far,
                        .nodes = at,
                        .row_offsets = rows,
                        .trie = {firsts, tokens},
                        .allowed = permitted,
                        .over_children = over_children},
                       normalisers, {best, parents, reached, counts});
  return {fetched(best), fetched(parents), fetched(reached), fetched(counts).values};
}
}  // namespace

TEST_CASE_TEMPLATE("select_beams: takes the best children of a user's rows, best first", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const best = step(b, {{9., 9., -1., -2., 9.}, {9., 9., -4., 9., 9.}}, {-1., 0.}, {1, 2}, {0, 2}, 2);
  CHECK(best.counts == std::vector<index_t>{2});
  CHECK_CLOSE(best.scores, matrix{{-2., -3.}}, 1e-12);
  CHECK_CLOSE(best.nodes, matrix{{3, 4}}, 0);
  CHECK_CLOSE(best.parents, matrix{{0, 0}}, 0);
}

TEST_CASE_TEMPLATE("select_beams: users choose among their own rows; who has fewer children than beams gets them all", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const best = step(b, constant({2, 5}, -1.), {0., 0.}, {1, 2}, {0, 1, 2}, 2);
  CHECK(best.counts == std::vector<index_t>{2, 1});
  CHECK(best.nodes.values[2] == 5);
  CHECK(best.parents.values[2] == 1);
}

TEST_CASE_TEMPLATE("select_beams: equal scores keep the order of rows and children", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const best = step(b, constant({2, 5}, -1.), {0., 0.}, {2, 1}, {0, 2}, 3);
  CHECK_CLOSE(best.nodes, matrix{{5, 3, 4}}, 0);
  CHECK_CLOSE(best.parents, matrix{{0, 1, 1}}, 0);
}

TEST_CASE_TEMPLATE("select_beams: over the children, their probabilities add up to one, however unlikely they are", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const best = step(b, {{0., 0., -1001., -1000., 0.}}, {0.}, {1}, {0, 1}, 2, true);
  CHECK_CLOSE(std::exp(best.scores.values[0]) + std::exp(best.scores.values[1]), 1., 1e-12);
  CHECK_CLOSE(best.nodes, matrix{{4, 3}}, 0);
}

TEST_CASE_TEMPLATE("select_beams: a forbidden node is neither chosen nor counted in the children's probabilities", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  matrix<std::uint8_t> const without_node_4{{1, 1, 1, 1, 0, 1}};
  auto const best = step(b, {{0., 0., -7., 50., 0.}}, {0.}, {1}, {0, 1}, 2, true, without_node_4);
  CHECK(best.counts == std::vector<index_t>{1});
  CHECK(best.nodes.values[0] == 3);
  CHECK_CLOSE(best.scores.values[0], 0., 1e-12);
}
