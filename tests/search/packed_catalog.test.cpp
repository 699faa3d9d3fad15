#include "mql4grec/search/packed_catalog.hpp"

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
#include "mql4grec/search/detail/catalog_layout.hpp"
#include "mql4grec/search/live_catalog.hpp"
#include "support/hostile_files.hpp"

using namespace mql4grec;
using test::complaint;
using test::temporary_directory;

namespace {

/// Text and images in sequences of the same length, a third modality in others.
language::vocabulary vocabulary(index_t levels = 2, index_t codes = 3) {
  auto const family = [&](char const* prefix, index_t of) {
    return language::modality_tokens{prefix, std::vector<index_t>(to_size(of), codes)};
  };
  return language::vocabulary({.modalities = {family("a", levels), family("A", levels), family("aA", 1)}});
}

std::vector<token_t> sequence_of(language::vocabulary const& vocab, language::modality kind, random_stream& random) {
  std::vector<token_t> tokens;
  for (index_t l = 0; l < vocab.levels(kind); ++l)
    tokens.push_back(vocab.token(kind, l, code_t(random.below(vocab.codes(kind, l)))));
  return tokens;
}

/// Some of the items have random sequences, which repeat when there are few possible ones.
std::vector<language::token_table> random_tables(language::vocabulary const& vocab, index_t items, std::uint64_t seed) {
  random_stream random(seed, 0);
  std::vector<language::token_table> tables;
  for (index_t m = 0; m < vocab.modalities(); ++m) {
    auto const kind = language::modality(m);
    auto& table = tables.emplace_back(kind, items, vocab.levels(kind));
    for (index_t i = 0; i < items; ++i)
      if (i % 7 != 6 - m) table.set(item_id(i), sequence_of(vocab, kind, random));
  }
  return tables;
}

search::packed_catalog_summary write(std::filesystem::path const& path, language::vocabulary const& vocab,
                                     std::vector<language::token_table> const& tables,
                                     search::packed_catalog_options options = {}) {
  options.items = tables.front().items();
  search::packed_catalog_writer to(path, vocab, std::ssize(tables), options);
  for (auto const& table : tables) to.add(table);
  return to.commit();
}

/// Whether both versions have the same tables, and tries with the same nodes.
bool same(search::catalog_version const& a, search::catalog_version const& b) {
  if (a.items() != b.items() || a.groups().size() != b.groups().size()) return false;
  for (index_t m = 0; m < a.modalities(); ++m)
    for (index_t i = 0; i < a.items(); ++i)
      if (!std::ranges::equal(a.sequence(language::modality(m), item_id(i)),
                              b.sequence(language::modality(m), item_id(i))))
        return false;
  for (std::size_t g = 0; g < a.groups().size(); ++g) {
    auto const &left = a.groups()[g], &right = b.groups()[g];
    if (left.kinds != right.kinds || left.trie.nodes() != right.trie.nodes() ||
        !std::ranges::equal(left.trie.root_nodes(), right.trie.root_nodes()))
      return false;
    for (node_t node = 1; node < left.trie.nodes(); ++node) {
      auto const x = left.trie.arrays(), y = right.trie.arrays();
      bool const is_leaf = x.first_child(node) == x.children_end(node);
      if (x.token(node) != y.token(node) || x.first_child(node) != y.first_child(node) ||
          x.children_end(node) != y.children_end(node) ||
          (is_leaf && !std::ranges::equal(left.trie.items(node), right.trie.items(node))))
        return false;
    }
    for (index_t t = 0; t < std::ssize(left.kinds); ++t)
      if (left.trie.leaves_of(t) != right.trie.leaves_of(t)) return false;
  }
  return true;
}

search::catalog_version mapped(std::filesystem::path const& path, language::vocabulary const& vocab) {
  auto const packed = search::read_packed_catalog(path, vocab);
  return search::live_catalog(packed->tables, {.packed = packed}).version();
}

/// Items with the same few sequences, so that most bytes mean something.
std::string small_file() {
  temporary_directory const here;
  write(here / "f", vocabulary(), random_tables(vocabulary(), 12, 1), {.sources = {{.bytes = 5}, {}, {}}});
  return read_file(here / "f");
}

search::detail::catalog_header header_of(std::string const& bytes) {
  search::detail::catalog_header header;
  std::memcpy(&header, bytes.data(), sizeof header);
  return header;
}
std::string with_header(std::string bytes, search::detail::catalog_header header) {
  header.header_sum = header.right_sum();
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}
/// The checksums of the header and of the directory are made right, so that what follows them is reached.
std::string with_right_sums(std::string bytes) {
  auto header = header_of(bytes);
  if (header.values[0] >= 0 && header.values[0] < std::ssize(bytes) / 8 - 16)
    header.sums[0] = checksum(std::as_bytes(std::span(bytes)).subspan(128, to_size(header.values[0] * 8)));
  return with_header(std::move(bytes), header);
}

search::detail::catalog_directory directory_of(std::string const& bytes) {
  search::detail::catalog_directory directory;
  index_t at = 0;
  auto const next = [&] {
    std::int64_t word = 0;
    std::memcpy(&word, bytes.data() + 128 + 8 * at++, 8);
    return word;
  };
  search::detail::catalog_directory::each_word(
      directory, [&](auto& value) { value = static_cast<std::decay_t<decltype(value)>>(next()); },
      [&](auto& list) { list.resize(to_size(next())); });
  return directory;
}

}  // namespace

TEST_CASE("packed_catalog: a catalog that begins with it equals one that is built in memory") {
  temporary_directory const here;
  for (auto const& [items, levels, codes] :
       std::vector<std::array<index_t, 3>>{{1, 2, 1}, {50, 2, 9}, {200, 4, 3}, {1500, 4, 256}, {900, 3, 2}}) {
    auto const vocab = vocabulary(levels, codes);
    auto const tables = random_tables(vocab, items, 7);
    search::live_catalog const built(tables);
    auto const made = write(here / "f", vocab, tables);
    CHECK(made.items == items);
    CHECK(made.bytes == std::ssize(read_file(here / "f")));
    CHECK(same(mapped(here / "f", vocab), built.version()));
    for (auto const check : {search::packed_check::all, search::packed_check::header}) {
      auto const packed = search::read_packed_catalog(here / "f", vocab, check);
      CHECK(packed->tables == tables);
      CHECK(packed->tokens == search::fingerprint_of(tables));
      CHECK(packed->tables[0].is_mapped());
    }
  }
}

TEST_CASE("packed_catalog: more sequences than memory are sorted in runs, and sequences may have 128 bits") {
  temporary_directory const here;
  auto const check = [&](language::vocabulary const& vocab, index_t items, index_t memory) {
    auto const tables = random_tables(vocab, items, 3);
    write(here / "f", vocab, tables, {.memory = memory});
    CHECK(same(mapped(here / "f", vocab), search::live_catalog(tables).version()));
    CHECK(std::distance(std::filesystem::directory_iterator(here.path()), {}) == 1);
  };
  check(vocabulary(4, 256), 60'000, 1 << 20);  // 3 MiB of sequences
  check(vocabulary(16, 7), 1000, 1 << 20);     // 8 bits a token
}

TEST_CASE("packed_catalog: without items nothing is searched") {
  temporary_directory const here;
  auto const vocab = vocabulary();
  search::packed_catalog_writer(here / "f", vocab, 3).commit();
  auto const none = mapped(here / "f", vocab);
  CHECK(none.groups().empty());
  CHECK(none.items() == 0);
}

TEST_CASE(
    "packed_catalog: changes, sets and merges give the content of a catalog in memory, and the log of one fits the "
    "other") {
  temporary_directory const here;
  auto const vocab = vocabulary(3, 4);
  auto const tables = random_tables(vocab, 60, 9);
  write(here / "f", vocab, tables);
  auto const packed = search::read_packed_catalog(here / "f", vocab);
  search::named_sets const sets = {{"even", {item_id{0}, item_id{2}, item_id{58}}}, {"some", {item_id{5}}}};
  auto const same_content = [&](search::catalog_version const& a, search::catalog_version const& b) {
    for (index_t m = 0; m < 3; ++m) {
      auto const kind = language::modality(m);
      REQUIRE(a.table(kind) == b.table(kind));
    }
    REQUIRE(a.set_names() == b.set_names());
    for (auto const& name : a.set_names())
      for (index_t i = 0; i < a.items(); ++i)
        REQUIRE(a.contains(*a.set(name), item_id(i)) == b.contains(*b.set(name), item_id(i)));
    for (std::size_t g = 0; g < a.groups().size(); ++g)
      for (index_t t = 0; t < std::ssize(a.groups()[g].kinds); ++t)
        for (index_t i = 0; i < a.items(); ++i) {
          auto const tokens = a.sequence(a.groups()[g].kinds[to_size(t)], item_id(i));
          if (tokens.empty()) continue;
          auto const &left = a.groups()[g].trie, &right = b.groups()[g].trie;
          REQUIRE(left.leaves_of(t) == right.leaves_of(t));
          REQUIRE(std::ranges::equal(left.items(left.find(t, tokens)), right.items(right.find(t, tokens))));
        }
  };
  random_stream random(11, 0);
  auto const change = [&] {
    search::catalog_change one{item_id(random.below(80))};
    if (random.below(3) > 0)
      for (index_t m = 0; m < 3; ++m)
        one.sequences.push_back(random.below(4) > 0 ? sequence_of(vocab, language::modality(m), random)
                                                    : std::vector<token_t>());
    if (random.below(4) == 0) one.sets = {{"even", "new" + std::to_string(random.below(3))}};
    return one;
  };
  // Merged often, and with a snapshot at each merge.
  auto const options = [&](char const* log, bool is_packed) {
    return search::live_catalog_options{.log = here / log,
                                        .packed = is_packed ? packed : nullptr,
                                        .merge_after = 1 << 20,
                                        .snapshot_after = 1,
                                        .vocab = vocab,
                                        .sets = sets};
  };
  for (int start = 0; start < 4; ++start) {
    search::live_catalog in_memory(tables, options("memory.log", false));
    search::live_catalog from_file(packed->tables, options("file.log", true));
    same_content(from_file.version(), in_memory.version());
    for (int step = 0; step < 60; ++step) {
      std::vector<search::catalog_change> const changes = {change(), change()};
      CHECK(in_memory.apply(changes) == from_file.apply(changes));
      if (step % 25 == 24) {
        in_memory.merge();
        from_file.merge();
      }
      if (step % 10 == 9) same_content(from_file.version(), in_memory.version());
    }
    CHECK(packed->tables == tables);
  }
  {  // interactions have larger item numbers than at the time of packing: the log still belongs to the file
    auto wider = packed->tables;
    for (auto& table : wider) table.widen(500);
    search::live_catalog const later(wider, options("file.log", true));
    CHECK(later.version().items() == 500);
    CHECK(later.is_mapped());
    CHECK(later.began_with(wider));
    CHECK(!later.began_with(packed->tables));
  }
  // Either kind of catalog reads what the other has written.
  search::live_catalog const other(tables, options("file.log", false));
  search::live_catalog const another(packed->tables, options("memory.log", true));
  same_content(other.version(), another.version());
  CHECK(another.is_mapped());
  // A file that holds nothing but changes is small.
  CHECK(std::filesystem::file_size(here / "file.log.snapshot") < 16'000);
  CHECK(std::filesystem::file_size(here / "memory.log.snapshot") < 16'000);
}

TEST_CASE("packed_catalog: histories have tokens of their own after a snapshot, those of the last item included") {
  temporary_directory const here;
  auto const vocab = vocabulary(2, 9);
  auto const tables = random_tables(vocab, 30, 9), others = random_tables(vocab, 30, 10);
  write(here / "f", vocab, tables);
  auto const packed = search::read_packed_catalog(here / "f", vocab);
  search::live_catalog_options const options{
      .log = here / "log", .packed = packed, .snapshot_after = 1, .history_tokens = others};
  constexpr auto text = language::modality::text;
  constexpr item_id last{29}, changed{3};
  REQUIRE_FALSE(std::ranges::equal(tables[0].of(last), others[0].of(last)));
  for (int start = 0; start < 3; ++start) {
    search::live_catalog catalog(packed->tables, options);
    auto const version = catalog.version();
    CHECK(std::ranges::equal(version.history_tokens(text, last), others[0].of(last)));
    CHECK(std::ranges::equal(version.sequence(text, last), tables[0].of(last)));
    if (start > 0) CHECK(std::ranges::equal(version.history_tokens(text, changed), tables[0].of(last)));
    auto const tokens = tables[0].of(last);
    catalog.set(changed, {{tokens.begin(), tokens.end()}});
    catalog.merge();
  }
  {  // a number that has been in use stays so
    search::live_catalog catalog(packed->tables, options);
    catalog.remove(item_id{40});
    catalog.merge();
  }
  CHECK(search::live_catalog(packed->tables, options).version().items() == 41);
}

TEST_CASE("packed_catalog_writer: what can't be written is refused, and nothing remains") {
  temporary_directory const here;
  auto const error_of = [](auto&& call) { return complaint<error>(call); };
  auto const vocab = vocabulary();
  auto const text = language::modality::text;
  auto const options = [&](language::vocabulary const& v, index_t modalities, search::packed_catalog_options o) {
    return error_of([&] { search::packed_catalog_writer(here / "f", v, modalities, o); });
  };
  CHECK(options(vocabulary(20, 9), 3, {}).find("expected at most 128 bits") != std::string::npos);
  CHECK(options(vocab, 2, {}) == "packed catalog: 2 modalities, expected 3 to 64");
  CHECK(options(vocab, 3, {.memory = 1000}).find("expected at least 1 MiB") != std::string::npos);
  CHECK(options(vocab, 3, {.items = -1}) == "packed catalog: -1 items");
  {
    search::packed_catalog_writer to(here / "f", vocab, 3);
    random_stream random(1, 0);
    auto const sequence = sequence_of(vocab, text, random);
    to.add(text, item_id{5}, sequence);
    CHECK(error_of([&] { to.add(text, item_id{5}, sequence); }) == "packed catalog: item 5 after item 5");
    CHECK(error_of([&] { to.add(text, item_id{-1}, sequence); }) == "packed catalog: item -1 after item 5");
    CHECK(error_of([&] { to.add(text, item_id{6}, std::span(sequence).first(1)); }) ==
          "packed catalog: item 6 has 1 tokens, expected 2");
    CHECK(error_of([&] { to.add(language::modality::image, item_id{6}, sequence); }).find("where it doesn't belong") !=
          std::string::npos);
    CHECK(error_of([&] { to.add(language::modality{9}, item_id{6}, sequence); }) ==
          "packed catalog: modality 9, which the vocabulary lacks");
    // The same file a second time at the same time.
    CHECK(error_of([&] { search::packed_catalog_writer(here / "f", vocab, 3); }).find("is being written") !=
          std::string::npos);
  }
  CHECK(std::filesystem::is_empty(here.path()));
}

TEST_CASE("packed_catalog: files that are cut short, damaged or no files are refused in one line") {
  auto const whole = small_file();
  auto const vocab = vocabulary();
  auto const read_all = [&](std::filesystem::path const& path) {
    auto const version = mapped(path, vocab);
    index_t sum = 0;
    for (auto const& group : version.groups())
      for (node_t node = 0; node < group.trie.nodes(); ++node) {
        sum += std::ssize(group.trie.allowed(node));
        if (group.trie.allowed(node).empty())
          for (auto const item : group.trie.items(node)) sum += index(item);
      }
    REQUIRE(sum >= 0);
  };
  auto const words = header_of(whole).values[0];
  auto const refused = [&](std::string const& bytes) {
    temporary_directory const here;
    test::put(here / "f", bytes);
    return complaint<file_error>([&] { read_all(here / "f"); });
  };
  for (index_t n = 0; n < std::ssize(whole); n += n < 128 + words * 8 ? 17 : 1021)
    REQUIRE(!refused(whole.substr(0, to_size(n))).empty());
  CHECK(refused(whole).empty());
  std::string_view const likely("\0\1\2\3\4\x7f\x80\xff ", 9);
  auto const beginning = static_cast<std::size_t>(128 + words * 8);
  test::check_damaged(whole, likely, beginning, read_all);
  test::check_damaged(whole, likely, beginning, [&](std::filesystem::path const& path) {
    test::put(path, with_right_sums(read_file(path)));
    read_all(path);
  });
  test::check_no_regular_file(read_all);
}

TEST_CASE("packed_catalog: what is wrong is named") {
  temporary_directory const here;
  auto const whole = small_file();
  auto const directory = directory_of(whole);
  auto const read = [&](std::string const& bytes, language::vocabulary const& vocab = vocabulary()) {
    test::put(here / "f", bytes);
    auto const message = complaint<file_error>([&] { (void)search::read_packed_catalog(here / "f", vocab); });
    CHECK(message.starts_with((here / "f").string() + ": "));
    return message;
  };
  auto const has = [](std::string const& text, char const* part) {
    CAPTURE(text);
    CHECK(text.find(part) != text.npos);
  };
  auto const put_word = [&](index_t place, auto value) {
    auto bytes = whole;
    std::memcpy(bytes.data() + place, &value, sizeof value);
    return bytes;
  };
  // A section with another entry, its checksum made right.
  auto const entry = [&](search::detail::catalog_section search::detail::catalog_trie::*which, index_t i, auto value) {
    auto bytes = put_word((directory.tries.back().*which).begin + i * index_t{sizeof value}, value);
    auto changed = directory;
    auto& at = changed.tries.back().*which;
    at.sum = checksum(std::as_bytes(std::span(bytes)).subspan(to_size(at.begin), to_size(at.entries) * sizeof value));
    auto const words = words_of(changed);
    std::memcpy(bytes.data() + 128, words.data(), words.size() * 8);
    return read(with_right_sums(bytes));
  };
  has(read(put_word(0, 'x')), "expected 'mql_ctlg', the beginning of a packed catalog");
  has(read(put_word(12, 7)), "version 7, expected 1");
  has(read(put_word(130, 'x')), "the directory is damaged");
  has(read(whole, vocabulary(2, 4)), "the vocabulary of another model");
  auto header = header_of(whole);
  header.values[2] = 100;
  has(read(with_header(whole, header)), "its pages have 100 bytes");
  using trie = search::detail::catalog_trie;
  auto const& last = directory.tries.back();
  has(read(put_word(last.token.begin, 'x')), "the tokens of nodes are damaged");
  has(read(put_word(directory.tables[0].present.begin, 'x')), "the items are damaged");
  has(entry(&trie::first_child, 0, node_t{1}), "node 0 has children");
  has(entry(&trie::first_child, 1, node_t{0}), "node 1 has other children");
  has(entry(&trie::children_end, 1, node_t{1 << 20}), "node 1 has other children");
  has(entry(&trie::token, 1, token_t{3}), "node 1 is a root with a token");
  has(entry(&trie::token, 3, token_t{1}), "token 1 at level 0, where it doesn't belong");
  has(entry(&trie::token, 4, token_t{2}), "no rising token");
  has(entry(&trie::lists, 1, item_id{0}), "a list of a wrong length");
  has(entry(&trie::lists, 2, item_id{-1}), "a list whose items don't rise");
  has(entry(&trie::first_child, last.first_child.entries - 1, node_t{1}), "has another list than expected");
}

TEST_CASE("packed_catalog: a source that has changed is noticed, whatever its time") {
  temporary_directory const here;
  auto const path = here / "index.json";
  CHECK(search::is_unchanged({}, path));
  test::put(path, "abc");
  auto const then = search::source_state(path);
  CHECK(search::is_unchanged(then, path));
  CHECK(!search::is_unchanged({}, path));
  auto const time = std::filesystem::last_write_time(path);
  std::filesystem::last_write_time(path, time + std::chrono::seconds(5));
  CHECK(search::is_unchanged(then, path));
  test::put(path, "abd");
  std::filesystem::last_write_time(path, time + std::chrono::seconds(9));
  CHECK(!search::is_unchanged(then, path));
  test::put(path, "abcd");
  std::filesystem::last_write_time(path, time);
  CHECK(!search::is_unchanged(then, path));
}

TEST_CASE("packed_catalog: the example of the guide") {
  temporary_directory const here;
  auto const path = here / "Shop.catalog.packed";
  language::vocabulary const vocab;
  auto const sequence = [&](int item) {
    std::vector<token_t> tokens;
    for (index_t level = 0; level < 4; ++level)
      tokens.push_back(vocab.token(language::modality::text, level, code_t{item}));
    return tokens;
  };
  // example-begin packed_catalog
  search::packed_catalog_writer to(path, vocab, language::paper_modalities, {.memory = index_t{512} << 20});
  for (int item = 0; item < 10; ++item) to.add(language::modality::text, item_id{item}, sequence(item));
  to.commit();

  auto const packed = search::read_packed_catalog(path, vocab);  // in as many processes as needed
  search::live_catalog catalog(packed->tables, {.packed = packed});
  catalog.remove(item_id{3});
  CHECK(catalog.version().sequence(language::modality::text, item_id{3}).empty());
  // example-end packed_catalog
}
