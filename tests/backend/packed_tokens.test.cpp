#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/tensors.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
std::vector<int> as_ints(std::vector<token_t> const& tokens) {
  std::vector<int> all;
  for (auto const token : tokens) all.push_back(static_cast<int>(token));
  return all;
}
template <class B>
struct gathered {
  std::vector<int> tokens;
  std::vector<index_t> offsets;

  /// Sequences 0, 1 2, (none), 3 4 5.
  gathered(B& b, std::vector<index_t> const& which, index_t rows, index_t sequences) {
    auto const from = on(b, vector{token_t{0}, token_t{1}, token_t{2}, token_t{3}, token_t{4}, token_t{5}});
    auto const from_offsets = on(b, vector<index_t>{0, 1, 3, 3, 6});
    auto const wanted = on(b, vector<index_t>(which));
    auto to = on(b, vector<token_t>(std::vector<token_t>(static_cast<std::size_t>(rows), token_t{77})));
    auto to_offsets = on(b, vector<index_t>(std::vector<index_t>(static_cast<std::size_t>(sequences) + 1, 77)));
    packed_tokens<typename B::memory_space> const place{to, to_offsets};
    gather_sequences(b, {from, from_offsets}, wanted, token_t{9}, place);
    tokens = as_ints(fetched(to).values);
    offsets = fetched(to_offsets).values;
  }
};
}  // namespace

TEST_CASE_TEMPLATE("gather_sequences: the requested sequences in the requested order, with repetitions", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  gathered<B> const some(b, {3, 0, 2, 3, 1}, 9, 5);
  CHECK(some.tokens == std::vector{3, 4, 5, 0, 3, 4, 5, 1, 2});
  CHECK(some.offsets == std::vector<index_t>{0, 3, 4, 4, 7, 9});
}

TEST_CASE_TEMPLATE("gather_sequences: the remaining rows are filled, with shares that differ by at most one", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  gathered<B> const some(b, {1}, 9, 4);
  CHECK(some.tokens == std::vector{1, 2, 9, 9, 9, 9, 9, 9, 9});
  CHECK(some.offsets == std::vector<index_t>{0, 2, 4, 6, 9});
  gathered<B> const none(b, {}, 3, 2);
  CHECK(none.tokens == std::vector{9, 9, 9});
  CHECK(none.offsets == std::vector<index_t>{0, 1, 3});
}

TEST_CASE_TEMPLATE("gather_sequences: more sequences than threads of a group", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  std::vector<index_t> which;
  std::vector<int> expected;
  for (index_t i = 0; i < 2500; ++i) {
    which.push_back(i % 7 == 0 ? 3 : i % 4);
    auto const one =
        gathered<reference::backend>(*std::make_unique<reference::backend>(), {which.back()},
                                     std::vector<index_t>{1, 2, 0, 3}[static_cast<std::size_t>(which.back())], 1);
    expected.insert(expected.end(), one.tokens.begin(), one.tokens.end());
  }
  gathered<B> const some(b, which, std::ssize(expected), 2500);
  CHECK(some.tokens == expected);
  CHECK(some.offsets.back() == std::ssize(expected));
}

TEST_CASE_TEMPLATE("shift_right: shifts each sequence by one position and inserts the first token, also for padding", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const tokens = on(b, vector{token_t{5}, token_t{6}, token_t{7}, token_t{8}, no_target, no_target, no_target});
  auto const offsets = on(b, vector<index_t>{0, 3, 3, 4, 7});
  auto shifted = on(b, vector<token_t>(std::vector<token_t>(7, token_t{77})));
  shift_right(b, in_vector<B, token_t>(tokens), in_vector<B, index_t>(offsets), token_t{0}, shifted);
  CHECK(as_ints(fetched(shifted).values) == std::vector{0, 5, 6, 0, 0, 0, 0});
}
