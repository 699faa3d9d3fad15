#include <numeric>

#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
constexpr double infinite = std::numeric_limits<double>::infinity(),
                 no_number = std::numeric_limits<double>::quiet_NaN();

// The trie of these tests: the root 0 has the children 1 (token 2), 2 (token 4); node 1 has 3 (token 2), 4 (token 3),
// node 2 has 5 (token 2).
vector<node_t> const first_child{1, 3, 5, 6, 6, 6, 6};
vector<token_t> const token{token_t{0}, token_t{2}, token_t{4}, token_t{2}, token_t{3}, token_t{2}};

struct choice {
  matrix<double> scores;
  matrix<std::int32_t> parents, nodes;
  std::vector<index_t> counts;
};

/// One step from rows at `nodes` with `scores`; the logits of five tokens are used as log p.
template <class B>
choice step(B& b, matrix<double> const& logits, vector<double> const& scores, vector<node_t> const& nodes,
            vector<index_t> const& row_offsets, index_t beams, bool normalize_over_allowed = false,
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
                        .trie = level_order_trie(in_vector<B, node_t>(firsts), in_vector<B, token_t>(tokens)),
                        .allowed = permitted,
                        .normalize_over_allowed = normalize_over_allowed},
                       normalisers, {best, parents, reached, counts});
  return {fetched(best), fetched(parents), fetched(reached), fetched(counts).values};
}
}  // namespace

TEST_CASE_TEMPLATE("select_beams: selects the best children of a user's rows, best first", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const best = step(b, {{9., 9., -1., -2., 9.}, {9., 9., -4., 9., 9.}}, {-1., 0.}, {1, 2}, {0, 2}, 2);
  CHECK(best.counts == std::vector<index_t>{2});
  CHECK_CLOSE(best.scores, matrix{{-2., -3.}}, 1e-12);
  CHECK_CLOSE(best.nodes, matrix{{3, 4}}, 0);
  CHECK_CLOSE(best.parents, matrix{{0, 0}}, 0);
}

TEST_CASE_TEMPLATE("select_beams: users are independent; a user with fewer children than beams gets them all", B,
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

TEST_CASE_TEMPLATE(
    "select_beams: probabilities normalized over the allowed children sum to one, however small they are", B,
    MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const best = step(b, {{0., 0., -1001., -1000., 0.}}, {0.}, {1}, {0, 1}, 2, true);
  CHECK_CLOSE(std::exp(best.scores.values[0]) + std::exp(best.scores.values[1]), 1., 1e-12);
  CHECK_CLOSE(best.nodes, matrix{{4, 3}}, 0);
}

TEST_CASE_TEMPLATE("select_beams: a forbidden node is neither selected nor part of the normalization", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  matrix<std::uint8_t> const without_node_4{{1, 1, 1, 1, 0, 1}};
  auto const best = step(b, {{0., 0., -7., 50., 0.}}, {0.}, {1}, {0, 1}, 2, true, without_node_4);
  CHECK(best.counts == std::vector<index_t>{1});
  CHECK(best.nodes.values[0] == 3);
  CHECK_CLOSE(best.scores.values[0], 0., 1e-12);
}

namespace {
/// Users with rows on a trie of only their children: row r has children[r] children with the tokens 0, 1, ….
struct crowd {
  std::vector<index_t> rows_each, children;
  index_t vocabulary;
  index_t rows() const { return std::ssize(children); }
};

/// `users` users with `rows` rows each; each row has up to `most` children.
crowd random_crowd(index_t users, index_t rows, index_t most) {
  crowd all{
      .rows_each = std::vector<index_t>(static_cast<std::size_t>(users), rows), .children = {}, .vocabulary = most};
  for (auto const count : random_tokens(users * rows, most + 1, 8).values) all.children.push_back(index(count));
  return all;
}

template <class T>
struct found {
  matrix<T> scores;
  matrix<std::int32_t> parents, nodes;
  std::vector<index_t> counts;
};

template <class T, class B>
found<T> chosen(B& b, crowd const& from, matrix<T> const& logits, index_t beams, bool normalize_over_allowed = false,
                matrix<std::uint8_t> const& allowed = {}) {
  std::vector<node_t> first, nodes;
  std::vector<token_t> edges(static_cast<std::size_t>(from.rows()), token_t{0});
  auto const all_nodes =
      static_cast<node_t>(from.rows() + std::accumulate(from.children.begin(), from.children.end(), index_t{0}));
  auto next = static_cast<node_t>(from.rows());
  for (index_t r = 0; r < from.rows(); ++r) {
    nodes.push_back(static_cast<node_t>(r));
    first.push_back(next);
    auto const count = static_cast<node_t>(from.children[static_cast<std::size_t>(r)]);
    for (node_t c = 0; c < count; ++c) edges.push_back(token_t{c});
    next += count;
  }
  first.resize(static_cast<std::size_t>(all_nodes) + 1, all_nodes);
  auto const offsets = on(b, offsets_of(from.rows_each));
  auto const firsts = on(b, vector<node_t>(first)), at = on(b, vector<node_t>(nodes));
  auto const reading = on(b, vector<token_t>(edges));
  auto const so_far = on(b, random_normal<T>(from.rows(), 5)), normalisers = on(b, random_normal<T>(from.rows(), 6));
  auto const x = on(b, logits, 3);
  auto const permitted = on(b, allowed);
  index_t const users = std::ssize(from.rows_each);
  auto scores = poisoned<T>(b, {users, beams});
  auto parents = poisoned<std::int32_t>(b, {users, beams}), reached = poisoned<std::int32_t>(b, {users, beams});
  auto counts = poisoned<index_t>(b, users);
  select_beams<T>(b,
                  {.logits = x,
                   .scores = so_far,
                   .nodes = at,
                   .row_offsets = offsets,
                   .trie = level_order_trie(in_vector<B, node_t>(firsts), in_vector<B, token_t>(reading)),
                   .allowed = permitted,
                   .normalize_over_allowed = normalize_over_allowed},
                  normalisers, {scores, parents, reached, counts});
  return {fetched(scores), fetched(parents), fetched(reached), fetched(counts).values};
}

/// Compares choices exactly, and scores up to rounding.
template <class T>
void check_same(found<T> const& actual, found<T> const& expected, double allowed) {
  CHECK(actual.counts == expected.counts);
  CHECK(actual.parents.values == expected.parents.values);
  CHECK(actual.nodes.values == expected.nodes.values);
  for (index_t user = 0; user < std::ssize(expected.counts); ++user)
    for (index_t i = 0; i < expected.counts[static_cast<std::size_t>(user)]; ++i)
      if (actual.scores(user, i) != expected.scores(user, i))
        CHECK_CLOSE(actual.scores(user, i), expected.scores(user, i), allowed);
}
}  // namespace

TEST_CASE_TEMPLATE("select_beams: equals the reference for few and for thousands of candidates", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  for (auto const& [rows, most] :
       std::vector<std::pair<index_t, index_t>>{{1, 256}, {20, 6}, {20, 256}, {257, 3}, {600, 40}})
    for (index_t beams : {1, 20, 100, 512, 1500}) {
      auto const from = random_crowd(2, rows, most);
      auto const logits = random_normal<T>({from.rows(), from.vocabulary}, 7);
      check_same(chosen(fast, from, logits, beams), chosen(exact, from, logits, beams), 0);
    }
}

TEST_CASE_TEMPLATE("select_beams: with normalization over allowed children, equals the reference", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  for (auto const& [rows, most] : std::vector<std::pair<index_t, index_t>>{{1, 200}, {3, 100}, {20, 30}, {300, 3}}) {
    auto const from = random_crowd(3, rows, most);
    auto const logits = random_normal<T>({from.rows(), from.vocabulary}, 7);
    index_t const nodes = from.rows() + std::accumulate(from.children.begin(), from.children.end(), index_t{0});
    matrix<std::uint8_t> some({3, nodes}, {});
    for (auto const draw : random_tokens(3 * nodes, 4, 9).values) some.values.push_back(draw != token_t{0});
    check_same(chosen(fast, from, logits, 25, true, some), chosen(exact, from, logits, 25, true, some),
               tolerance<typename S::backend, T>);
  }
}

TEST_CASE_TEMPLATE("select_beams: thousands of equal scores, including −0 and 0, keep the order of rows and children",
                   B, MQL4GREC_TEST_BACKENDS) {
  B b;
  crowd const from{.rows_each = {400}, .children = std::vector<index_t>(400, 13), .vocabulary = 13};
  auto logits = constant({400, 13}, -infinite);
  for (index_t beams : {1, 30, 700, 6000}) {
    auto const all = chosen<double>(b, from, logits, beams);
    CHECK(all.counts[0] == std::min<index_t>(beams, 5200));
    for (index_t i = 0; i < all.counts[0]; ++i) {
      CHECK(all.scores(0, i) == -infinite);
      CHECK(all.parents(0, i) == i / 13);
      CHECK(all.nodes(0, i) == 400 + i);
    }
  }
  auto const zeros = step(b, {{0., 0., -0., 0., 0.}}, {-0.}, {0}, {0, 1}, 2);
  CHECK_CLOSE(zeros.nodes, matrix{{1, 2}}, 0);
}

TEST_CASE_TEMPLATE("select_beams: scores that increase from candidate to candidate", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  crowd const from{.rows_each = {300}, .children = std::vector<index_t>(300, 17), .vocabulary = 17};
  std::vector<double> logits;
  for (int i = 0; i < 300 * 17; ++i) logits.push_back(1000. * i);
  for (index_t beams : {20, 512}) {
    auto const all = chosen<double>(b, from, {{300, 17}, logits}, beams);
    for (index_t i = 0; i < beams; ++i) CHECK(all.nodes(0, i) == 300 + 300 * 17 - 1 - i);
  }
}

TEST_CASE_TEMPLATE("select_beams: −∞, and users without rows or children", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  crowd const from{.rows_each = {0, 2, 1, 0, 1}, .children = {0, 2, 0, 3}, .vocabulary = 3};
  matrix<double> const logits{{0, 0, 0}, {-infinite, -1, 0}, {0, 0, 0}, {infinite, -infinite, 1}};
  auto const all = chosen(b, from, logits, 4);
  CHECK(all.counts == std::vector<index_t>{0, 2, 0, 0, 3});
  CHECK((all.nodes(1, 0) == 5 && all.nodes(1, 1) == 4 && all.parents(1, 0) == 1 && all.scores(1, 1) == -infinite));
  CHECK((all.nodes(4, 0) == 6 && all.nodes(4, 1) == 8 && all.nodes(4, 2) == 7));
}

#if MQL4GREC_HAS_THRUST || defined(__CUDACC__)
namespace {
template <class B>
concept GpuBackend = requires {
  typename B::system;
};
}  // namespace

TEST_CASE_TEMPLATE("select_beams: on a GPU NaN scores come after all others, in the order of rows and children", B,
                   MQL4GREC_TEST_BACKENDS) {
  if constexpr (GpuBackend<B>) {
    B b;
    crowd const from{.rows_each = {100}, .children = std::vector<index_t>(100, 15), .vocabulary = 15};
    auto logits = constant({100, 15}, no_number);
    CHECK(chosen(b, from, logits, 20).counts[0] == 20);
    logits.values[977] = -infinite;
    for (bool const normalize_over_allowed : {false, true}) {
      auto const all = chosen(b, from, logits, 1500, normalize_over_allowed);
      CHECK(all.counts[0] == 1500);
      CHECK((all.nodes(0, 0) == 100 + (normalize_over_allowed ? 0 : 977)));
      CHECK((all.nodes(0, 1) == (normalize_over_allowed ? 101 : 100) && all.nodes(0, 1499) == 1599));
      CHECK(std::isnan(all.scores(0, 1)));
    }
  }
}
#endif
