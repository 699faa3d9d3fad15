#include "mql4grec/search/packed_trie.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "core/temporary_directory.hpp"
#include "mql4grec/core/checksum.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/search/detail/trie_layout.hpp"
#include "support/hostile_files.hpp"

using namespace mql4grec;
using test::complaint;
using test::temporary_directory;

namespace {

/// Some items of `items` with random sequences, which repeat when there are few possible ones.
language::token_table random_table(index_t items, index_t levels, index_t codes, std::uint64_t seed) {
  random_stream random(seed, 0);
  language::token_table table(language::modality::text, items, levels);
  std::vector<token_t> tokens(to_size(levels));
  for (index_t i = 0; i < items; ++i) {
    for (auto& token : tokens) token = token_t(static_cast<int>(random.below(codes)));
    if (i % 7 != 6) table.set(item_id(i), tokens);
  }
  return table;
}

/// Writes the trie of a table, its items in a random order.
search::packed_trie_summary write(std::filesystem::path const& path, language::token_table const& table,
                                  search::packed_trie_options options) {
  std::vector<item_id> order(table.present().begin(), table.present().end());
  shuffle(std::span(order), random_stream(4, 4));
  options.levels = table.levels();
  search::packed_trie_writer to(path, options);
  for (auto const item : order) to.add(item, table.of(item));
  return to.commit();
}

bool same(search::item_trie const& a, search::item_trie const& b) {
  if (a.levels() != b.levels() || a.nodes() != b.nodes() || a.leaves() != b.leaves()) return false;
  for (node_t node = 0; node < a.nodes(); ++node) {
    bool const equal = a.parent(node) == b.parent(node) && a.token(node) == b.token(node) &&
                       std::ranges::equal(a.allowed(node), b.allowed(node)) && a.is_leaf(node) == b.is_leaf(node);
    if (!equal || (a.is_leaf(node) && !std::ranges::equal(a.items(node), b.items(node)))) return false;
  }
  return true;
}

std::string small_file() {
  temporary_directory const here;
  write(here / "f", random_table(12, 2, 3, 1), {.vocabulary = 3});
  return read_file(here / "f");
}

/// The header's checksum and those of the sections are made right, so that what follows them is reached.
std::string with_right_sums(std::string bytes) {
  search::detail::trie_sections header;
  std::memcpy(&header, bytes.data(), sizeof header);
  index_t const nodes = header.values[1], leaves = header.values[2], items = header.values[3];
  bool const small = nodes >= 0 && nodes < 1000 && leaves >= 0 && leaves < 1000 && items >= 0 && items < 1000;
  search::detail::trie_layout const at(small ? nodes : 0, small ? leaves : 0, small ? items : 0);
  if (small && at.end <= std::ssize(bytes)) {
    auto const sum = [&](index_t begin, index_t end) {
      return checksum(std::as_bytes(std::span(bytes)).subspan(to_size(begin), to_size(end - begin)));
    };
    header.sums = {sum(at.item_offsets, at.first_child), sum(at.first_child, at.parent), sum(at.parent, at.token),
                   sum(at.token, at.items), sum(at.items, at.end)};
  }
  header.header_sum = header.right_sum();
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

/// Reads everything that a trie has, in all ways.
void read_all(std::filesystem::path const& path) {
  auto const trie = search::read_packed_trie(path);
  index_t sum = 0;
  for (node_t node = 0; node < trie.nodes(); ++node) {
    sum += trie.parent(node) + index(trie.token(node));
    for (auto const token : trie.allowed(node)) REQUIRE(trie.parent(trie.next(node, token)) == node);
    if (trie.is_leaf(node))
      for (auto const item : trie.items(node)) sum += index(item);
  }
  REQUIRE(sum + trie.leaves_below(0) >= -2);
}

}  // namespace

TEST_CASE("packed_trie: equals an item_trie of the same sequences, in whatever order they come") {
  temporary_directory const here;
  for (auto const& [items, levels, codes] : std::vector<std::array<index_t, 3>>{
           {1, 1, 1}, {50, 1, 9}, {200, 4, 3}, {2000, 4, 256}, {900, 3, 2}, {500, 8, 5}}) {
    auto const table = random_table(items, levels, codes, 7);
    search::item_trie const expected(table);
    auto const made = write(here / "f", table, {.vocabulary = codes});
    CHECK(made == search::packed_trie_summary{.levels = levels,
                                              .nodes = expected.nodes(),
                                              .leaves = expected.leaves(),
                                              .items = std::ssize(table.present()),
                                              .bytes = std::ssize(read_file(here / "f"))});
    for (auto const check : {search::trie_check::all, search::trie_check::header})
      CHECK(same(search::read_packed_trie(here / "f", {.check = check}), expected));
    auto const largest = index(std::ranges::max(table.tokens()));
    CHECK(same(search::read_packed_trie(here / "f", {.vocabulary = largest + 1}), expected));
    CHECK_THROWS_AS(static_cast<void>(search::read_packed_trie(here / "f", {.vocabulary = largest})), file_error);
  }
}

TEST_CASE("packed_trie: more sequences than memory are sorted in runs") {
  temporary_directory const here;
  auto const table = random_table(150'000, 4, 256, 3);  // 3 MiB of sequences
  write(here / "f", table, {.vocabulary = 1 << 20, .memory = 1 << 20});
  CHECK(same(search::read_packed_trie(here / "f"), search::item_trie(table)));
  CHECK(std::distance(std::filesystem::directory_iterator(here.path()), {}) == 1);
}

TEST_CASE("packed_trie: a trie without items, and sequences of 128 bits") {
  temporary_directory const here;
  search::packed_trie_writer(here / "f", {.levels = 3}).commit();
  auto const none = search::read_packed_trie(here / "f");
  CHECK(none.nodes() == 1);
  CHECK(none.leaves() == 0);
  CHECK(none.allowed(0).empty());
  language::token_table table(language::modality::text, 3, 4);
  for (int i = 0; i < 3; ++i)
    table.set(item_id(i),
              std::vector{token_t{0x7ffffff0 + i}, token_t{3}, token_t{i == 1 ? 0 : 0x7ffffffe}, token_t{1 << i}});
  write(here / "f", table, {.vocabulary = 0x7fffffff});
  CHECK(same(search::read_packed_trie(here / "f"), search::item_trie(table)));
}

TEST_CASE("packed_trie_writer: what can't be written is refused, and nothing remains") {
  temporary_directory const here;
  auto const error_of = [](auto&& call) { return complaint<error>(call); };
  auto const options = [&](search::packed_trie_options o) {
    return error_of([&] { search::packed_trie_writer(here / "f", o); });
  };
  CHECK(options({.levels = 9, .vocabulary = 1 << 15}).find("expected at most 128 bits") != std::string::npos);
  CHECK(options({.levels = 0}).find("sequences of 0 tokens") != std::string::npos);
  CHECK(options({.memory = 1000}).find("expected at least 1 MiB") != std::string::npos);
  {
    search::packed_trie_writer to(here / "f", {.levels = 2, .vocabulary = 10});
    std::vector const sequence{token_t{1}, token_t{9}};
    to.add(item_id{5}, sequence);
    CHECK(error_of([&] { to.add(item_id{5}, sequence); }) == "packed trie: item 5 has a sequence already");
    CHECK(error_of([&] { to.add(item_id{-1}, sequence); }) == "packed trie: item -1 is negative");
    CHECK(error_of([&] { to.add(item_id{6}, std::span(sequence).first(1)); }) ==
          "packed trie: item 6 has 1 tokens, expected 2");
    CHECK(error_of([&] {
            to.add(item_id{6}, std::vector{token_t{1}, token_t{10}});
          }) == "packed trie: item 6 has token 10, expected 0 to 9");
  }
  CHECK(std::filesystem::is_empty(here.path()));
}

TEST_CASE("packed_trie: files that are cut short, damaged or no files are refused in one line") {
  auto const whole = small_file();
  test::check_cut_short(whole, read_all);
  std::string_view const likely("\0\1\2\3\4\x7f\x80\xff ", 9);
  test::check_damaged(whole, likely, whole.size(), read_all);
  test::check_damaged(whole, likely, whole.size(), [](std::filesystem::path const& path) {
    test::put(path, with_right_sums(read_file(path)));
    read_all(path);
  });
  test::check_no_regular_file(read_all);
}

TEST_CASE("packed_trie: what is wrong is named") {
  temporary_directory const here;
  auto const whole = small_file();
  search::detail::trie_sections header;
  std::memcpy(&header, whole.data(), sizeof header);
  index_t const nodes = header.values[1], leaves = header.values[2], items = header.values[3];
  search::detail::trie_layout const at(nodes, leaves, items);
  auto const error_of = [&](index_t place, auto value, bool right = true) {
    auto bytes = whole;
    std::memcpy(bytes.data() + place, &value, sizeof value);
    test::put(here / "f", right ? with_right_sums(bytes) : bytes);
    auto const message = complaint<file_error>([&] { (void)search::read_packed_trie(here / "f"); });
    CHECK(message.starts_with((here / "f").string() + ": "));
    return message;
  };
  auto const has = [](std::string const& text, char const* part) { return text.find(part) != text.npos; };
  CHECK(has(error_of(0, 'x'), "expected 'mql_trie', the beginning of a packed trie"));
  CHECK(has(error_of(12, 7), "version 7, expected 1"));
  CHECK(has(error_of(16, index_t{0}), "header: 0 levels, expected 1 to 128"));
  CHECK(has(error_of(24, index_t{1} << 40), "nodes, expected 1 to"));
  CHECK(has(error_of(40, index_t{1}), "header: 1 items"));
  CHECK(has(error_of(at.item_offsets, index_t{1}, false), "the offsets of items are damaged"));
  CHECK(has(error_of(at.item_offsets, index_t{1}), "leaf 0 begin at 1, expected 0"));
  CHECK(has(error_of(at.item_offsets + 8, index_t{0}), "leaf 0: its items are 0 to -1"));
  CHECK(has(error_of(at.first_child, node_t{0}), "node 0: its first child is 0"));
  CHECK(has(error_of(at.first_child + 4, node_t{99}), "node 0: its children are"));
  CHECK(has(error_of(at.parent, node_t{0}), "node 0 has a parent"));
  CHECK(has(error_of(at.parent + 4, node_t{2}), "node 1: parent 2"));
  CHECK(has(error_of(at.token + 8, token_t{0}), "rising tokens"));
  CHECK(has(error_of(at.items, item_id{-3}), "leaf 0: item -3"));
  CHECK(has(error_of(16, index_t{1}), "level 1 has the nodes"));
}

TEST_CASE("packed_trie: the example of the guide") {
  temporary_directory const here;
  auto const path = here / "Shop.trie";
  language::vocabulary const vocab;
  auto const sequence = [&](int item) {
    return std::vector{vocab.token(language::modality::text, 0, code_t{item}),
                       vocab.token(language::modality::text, 1, code_t{7})};
  };
  // example-begin packed_trie
  search::packed_trie_writer to(path, {.levels = 2, .vocabulary = vocab.size(), .memory = index_t{512} << 20});
  for (int item = 9; item >= 0; --item) to.add(item_id{item}, sequence(item));  // in any order
  to.commit();

  search::item_trie const trie = search::read_packed_trie(path);  // in as many processes as needed
  auto const leaf = trie.next(trie.next(trie.start(), sequence(3)[0]), sequence(3)[1]);
  CHECK(trie.items(leaf).front() == item_id{3});
  // example-end packed_trie
}
