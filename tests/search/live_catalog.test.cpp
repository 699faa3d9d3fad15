#include "mql4grec/search/live_catalog.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <map>
#include <thread>

#include "core/temporary_directory.hpp"
#include "mql4grec/core/random.hpp"
#include "search/same_trie.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
using search::catalog_change;
constexpr auto text = language::modality::text, image = language::modality::image;

/// Text has 20 sequences of two tokens, images 64 of three.
language::vocabulary const& vocab() {
  static language::vocabulary const small({.modalities = {{"a", {5, 4}}, {"A", {4, 4, 4}}}});
  return small;
}
std::vector<token_t> random_sequence(language::modality kind, random_stream& random) {
  std::vector<token_t> tokens;
  for (index_t l = 0; l < vocab().levels(kind); ++l)
    tokens.push_back(vocab().token(kind, l, code_t(random.below(vocab().codes(kind, l)))));
  return tokens;
}
std::vector<token_t> text_of(int code) {
  return {vocab().token(text, 0, code_t(code)), vocab().token(text, 1, code_t(code))};
}
std::vector<language::token_table> tables(index_t items = 30) {
  std::vector<language::token_table> all;
  random_stream random(5, 0);
  for (auto const kind : {text, image}) {
    auto& table = all.emplace_back(kind, items, vocab().levels(kind));
    for (index_t i = 0; i < items; ++i)
      if (i % 5 != index(kind)) table.set(item_id(i), random_sequence(kind, random));
  }
  return all;
}
catalog_change random_change(random_stream& random, index_t items = 50) {
  catalog_change change{item_id(random.below(items))};
  if (random.below(3) == 0) return change;
  for (auto const kind : {text, image})
    change.sequences.push_back(random.below(4) ? random_sequence(kind, random) : std::vector<token_t>());
  return change;
}

/// The content of a catalog, kept in the plainest way.
using content = std::array<std::map<item_id, std::vector<token_t>>, 2>;
content content_of(std::vector<language::token_table> const& all) {
  content out;
  for (std::size_t m = 0; m < 2; ++m)
    for (auto const item : all[m].present()) {
      auto const tokens = all[m].of(item);
      out[m][item].assign(tokens.begin(), tokens.end());
    }
  return out;
}
void make(content& in, catalog_change const& change) {
  for (std::size_t m = 0; m < 2; ++m) {
    in[m].erase(change.item);
    if (m < change.sequences.size() && !change.sequences[m].empty()) in[m][change.item] = change.sequences[m];
  }
}
/// Whether a version has this content, in its tables and in its tries.
bool equals(search::catalog_version const& version, content const& expected) {
  std::vector<language::token_table> all;
  for (auto const kind : {text, image}) all.push_back(version.table(kind));
  if (content_of(all) != expected) return false;
  for (auto const& group : version.groups())
    for (std::size_t t = 0; t < group.kinds.size(); ++t) {
      search::item_trie const built(all[to_size(group.kinds[t])]);
      if (!same_below(group.trie, group.trie.root(static_cast<index_t>(t)), built, 0)) return false;
    }
  return true;
}
}  // namespace

TEST_CASE("live catalog: after any history of changes it equals a catalog built anew; earlier versions stay") {
  auto expected = content_of(tables());
  search::live_catalog catalog(tables(), {.vocab = vocab()});
  random_stream random(1, 0);
  std::vector<std::pair<search::catalog_version, content>> versions;
  for (int step = 0; step < 200; ++step) {
    versions.emplace_back(catalog.version(), expected);
    std::vector<catalog_change> changes;
    for (index_t n = random.below(3); n >= 0; --n) changes.push_back(random_change(random));
    auto const number = catalog.apply(changes);
    CHECK(number == catalog.version().number());
    for (auto const& change : changes) make(expected, change);
    if (step % 50 == 49) {
      CHECK(catalog.pending() > 0);
      catalog.merge();
      CHECK(catalog.pending() == 0);
    }
  }
  versions.emplace_back(catalog.version(), expected);
  for (auto const& [version, content] : versions) CHECK(equals(version, content));
  CHECK(catalog.version().items() <= 50);
  CHECK(catalog.version().items() > 30);
}

TEST_CASE("live catalog: every item may be removed, and others inserted afterwards") {
  search::live_catalog catalog(tables());
  for (int i = 0; i < 30; ++i) catalog.remove(item_id{i});
  CHECK(equals(catalog.version(), content()));
  CHECK(catalog.version().most_sequences() == 0);
  catalog.merge();
  CHECK(equals(catalog.version(), content()));
  random_stream random(2, 0);
  catalog_change const change{item_id{3}, {random_sequence(text, random)}};
  catalog.apply({&change, 1});
  content expected;
  make(expected, change);
  CHECK(equals(catalog.version(), expected));
  CHECK(catalog.version().most_sequences() == 1);
}

TEST_CASE("live catalog: memory for changes that is exhausted is merged, also for larger item numbers") {
  auto expected = content_of(tables());
  search::live_catalog catalog(
      tables(), {.tries = {.spare_nodes = 200, .spare_entries = 200}, .tokens = {.spare_rows = 10, .spare_items = 5}});
  random_stream random(3, 0);
  for (int step = 0; step < 100; ++step) {
    auto const change = random_change(random, step < 50 ? 35 : 3000);
    catalog.apply({&change, 1});
    make(expected, change);
    CHECK(catalog.pending() < 40);
  }
  CHECK(equals(catalog.version(), expected));
}

TEST_CASE("live catalog: a merge in the middle of a record that is replayed loses none of its changes") {
  temporary_directory const root;
  auto expected = content_of(tables());
  random_stream random(6, 0);
  std::vector<catalog_change> const record = {
      {item_id{33}, {random_sequence(text, random), random_sequence(image, random)}},
      {item_id{2}, {}},
      {item_id{300}, {random_sequence(text, random), {}}}};
  {
    search::live_catalog catalog(tables(), {.log = root / "log"});
    catalog.apply(record);
  }
  for (auto const& change : record) make(expected, change);
  search::live_catalog catalog(tables(), {.log = root / "log", .tokens = {.spare_rows = 10, .spare_items = 5}});
  CHECK(equals(catalog.version(), expected));
  CHECK(catalog.version().sequence(text, item_id{33}).size() == 2);
  catalog.remove(item_id{33});
  make(expected, {item_id{33}});
  CHECK(equals(catalog.version(), expected));
}

TEST_CASE("live catalog: a log without the snapshot that it goes on from is refused") {
  temporary_directory const root;
  random_stream random(6, 0);
  auto const change = [&](index_t item) { return catalog_change{item_id(item), {random_sequence(text, random)}}; };
  {
    search::live_catalog catalog(tables(), {.log = root / "log", .snapshot_after = 0});
    for (index_t item : {31, 32, 33}) {
      auto const one = change(item);
      catalog.apply({&one, 1});
    }
    catalog.merge();
    auto const one = change(34);
    catalog.apply({&one, 1});
  }
  REQUIRE(std::filesystem::remove(root / "log.snapshot"));
  CHECK(complaint<error>([&] {
          search::live_catalog again(tables(), {.log = root / "log"});
        }).ends_with("record 4 follows 0: the snapshot beside the log is missing or another one"));
}

TEST_CASE("live catalog: many changes are merged in the background") {
  auto expected = content_of(tables());
  search::live_catalog catalog(tables(), {.merge_after = 20});
  random_stream random(4, 0);
  for (int step = 0; step < 2000; ++step) {
    auto const change = random_change(random);
    catalog.apply({&change, 1});
    make(expected, change);
  }
  for (int wait = 0; catalog.pending() >= 20 && wait < 1000; ++wait)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  CHECK(catalog.pending() < 20);
  CHECK(equals(catalog.version(), expected));
}

TEST_CASE("live catalog: a change that doesn't fit is refused, and none of its companions is made") {
  auto const start = tables();
  search::live_catalog catalog(start, {.vocab = vocab()});
  random_stream random(5, 0);
  catalog_change const good{item_id{2}, {random_sequence(text, random)}};
  auto const refused = [&](catalog_change const& bad) {
    std::vector const both{good, bad};
    return complaint<error>([&] { catalog.apply(both); });
  };
  CHECK(refused({item_id{-1}, {}}) == "catalog: item -1, expected 0 to 2147483646");
  CHECK(refused({item_id{1}, {{token_t{2}}}}) == "catalog: item 1 has 1 tokens in modality 0, expected 2");
  CHECK(refused({item_id{1}, {{}, {}, {token_t{2}}}}) ==
        "catalog: item 1 has sequences in 3 modalities, but the catalog has 2");
  CHECK(refused({item_id{1}, {random_sequence(image, random)}}).find("expected 2") != std::string::npos);
  auto swapped = random_sequence(text, random);
  std::swap(swapped[0], swapped[1]);
  CHECK(refused({item_id{1}, {swapped}}).ends_with("at level 0 of modality 0, where it doesn't belong"));
  CHECK(equals(catalog.version(), content_of(start)));
  CHECK(catalog.version().number() == 0);
}

TEST_CASE("live catalog: a call that has too many sets fails no other one that is committed with it") {
  temporary_directory const directory;
  search::named_sets sets;
  for (index_t i = 0; i < search::max_item_sets; ++i) sets[std::to_string(i)];
  search::live_catalog catalog(tables(), {.log = directory / "log", .sets = sets});
  auto const is_made = [&](int item, std::string const& set) {
    catalog_change const change{item_id{item}, {text_of(item)}, std::vector{set}};
    try {
      catalog.apply({&change, 1});
      return true;
    } catch (error const&) {
      return false;
    }
  };
  std::atomic<int> left = 3, refused = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 40; ++i) refused += is_made(t, "7") ? 0 : 1;
      --left;
    });
  int too_many = 0;
  while (left > 0) too_many += is_made(3, "new") ? 1 : 0;
  for (auto& thread : threads) thread.join();
  CHECK(refused == 0);
  CHECK(too_many == 0);
}

TEST_CASE("live catalog: histories are written with tables of their own, and with the new tokens of a changed item") {
  random_stream random(6, 0);
  auto others = tables();
  for (auto& table : others)
    for (int i = 0; i < 30; ++i) table.set(item_id{i}, random_sequence(table.kind(), random));
  search::live_catalog catalog(tables(), {.history_tokens = others});
  auto const next = random_sequence(text, random);
  catalog.set(item_id{7}, {next});
  for (int round = 0; round < 2; ++round) {
    auto const version = catalog.version();
    CHECK(std::ranges::equal(version.history_tokens(text, item_id{7}), next));
    CHECK(version.history_tokens(image, item_id{7}).empty());
    CHECK(std::ranges::equal(version.history_tokens(text, item_id{0}), others[0].of(item_id{0})));
    CHECK(version.sequence(text, item_id{0}).empty());
    CHECK(version.history_tokens(text, item_id{-1}).empty());
    CHECK(version.history_tokens(text, item_id{2000000000}).empty());
    catalog.merge();
  }
}

TEST_CASE("live catalog: changes are there after a restart, with and without a snapshot") {
  for (index_t const snapshot_after : {index_t{1} << 40, index_t{0}}) {
    temporary_directory const directory;
    search::live_catalog_options const options{.log = directory / "log", .snapshot_after = snapshot_after};
    auto expected = content_of(tables());
    random_stream random(7, 0);
    std::uint64_t number = 0;
    for (int round = 0; round < 5; ++round) {
      search::live_catalog catalog(tables(), options);
      CHECK(equals(catalog.version(), expected));
      CHECK(catalog.version().number() == number);
      for (int step = 0; step < 20; ++step) {
        auto const change = random_change(random);
        number = catalog.apply({&change, 1});
        make(expected, change);
        if (round % 2 && step == 10) catalog.merge();
      }
    }
    CHECK(std::filesystem::exists(directory / "log.snapshot") == (snapshot_after == 0));
    auto others = tables();
    others[0].set(item_id{0}, others[0].of(item_id{2}));
    CHECK_THROWS_AS(search::live_catalog(others, options), file_error);
  }
}

TEST_CASE("live catalog: what was acknowledged survives SIGKILL at any moment, merges and snapshots included") {
  temporary_directory const directory;
  search::live_catalog_options const options{.log = directory / "log", .merge_after = 50, .snapshot_after = 0};
  random_stream random(8, 0);
  std::map<int, std::vector<token_t>> acknowledged;
  auto const sequence_of = [](int n) {
    random_stream own(9, static_cast<std::uint64_t>(n));
    return random_sequence(text, own);
  };
  int next = 0;
  for (int round = 0; round < 20; ++round) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    auto const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      ::close(ends[0]);
      try {
        search::live_catalog catalog(tables(), options);
        for (int n = next;; ++n) {
          catalog.set(item_id{n % 200}, {sequence_of(n)});
          if (::write(ends[1], &n, sizeof n) != sizeof n) break;
        }
      } catch (...) {
      }
      ::_exit(1);  // never reached unless something failed
    }
    ::close(ends[1]);
    auto const read_one = [&] {
      int n = 0;
      if (::read(ends[0], &n, sizeof n) != sizeof n) return false;
      acknowledged[n % 200] = sequence_of(n);
      next = n + 1;
      return true;
    };
    for (index_t wanted = random.below(16); wanted > 0 && read_one();) --wanted;
    std::this_thread::sleep_for(std::chrono::microseconds(random.below(6000)));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status));
    while (read_one()) continue;
    ::close(ends[0]);
    search::live_catalog const catalog(tables(), options);
    auto const version = catalog.version();
    for (auto const& [item, tokens] : acknowledged) {
      // The change after the last acknowledged one may be there or not.
      if (item == next % 200) continue;
      CHECK(std::ranges::equal(version.sequence(text, item_id{item}), tokens));
    }
    if (std::ranges::equal(version.sequence(text, item_id{next % 200}), sequence_of(next)))
      acknowledged[next % 200] = sequence_of(next);
  }
  CHECK(next > 100);
}

TEST_CASE("live_catalog: a follower makes the changes of another catalog's log, whatever it has missed") {
  temporary_directory const here;
  for (bool const is_packed : {false, true}) {
    auto all = tables();
    search::live_catalog_options how{.log = here / (is_packed ? "packed.log" : "log"), .snapshot_after = 1};
    if (is_packed) {
      search::packed_catalog_writer to(here / "f", vocab(), 2, {.items = all.front().items()});
      for (auto const& table : all) to.add(table);
      to.commit();
      how.packed = search::read_packed_catalog(here / "f", vocab());
      all = how.packed->tables;
    }
    auto following = how;
    following.follow = true;
    search::live_catalog early(all, following);  // before there is a log
    search::live_catalog writer(all, how);
    search::live_catalog often(all, following), at_first(all, following);
    CHECK_THROWS_WITH_AS(often.remove(item_id{1}), doctest::Contains("follows the log"), error);
    CHECK_THROWS_AS(writer.catch_up(), error);
    random_stream random(3, 0);
    auto expected = content_of(tables());
    for (int step = 0; step < 120; ++step) {
      auto change = random_change(random);
      if (step % 7 == 3) change.sets = {{"set " + std::to_string(random.below(3))}};
      writer.apply({&change, 1});
      make(expected, change);
      if (step % 40 == 39) writer.merge();  // the log becomes a snapshot
      if (step == 60) often.merge();
      if (step < 20) at_first.catch_up();  // and then not before the log has been replaced several times
      if (step % 3 > 0) continue;
      CHECK(often.catch_up() == writer.version().number());
      CHECK(equals(often.version(), expected));
    }
    search::live_catalog late(all, following);
    CHECK(early.catch_up() == writer.version().number());
    often.catch_up();
    at_first.catch_up();
    for (search::live_catalog* follower : {&early, &often, &late, &at_first}) {
      auto const mine = follower->version(), its = writer.version();
      CHECK(equals(mine, expected));
      CHECK(mine.set_names() == its.set_names());
      for (auto const& name : its.set_names())
        for (index_t i = 0; i < its.items(); ++i)
          CHECK(mine.contains(*mine.set(name), item_id(i)) == its.contains(*its.set(name), item_id(i)));
    }
    // A number stays in use when its item is removed, also after a snapshot.
    writer.set(item_id{700}, {text_of(1)});
    writer.remove(item_id{700});
    writer.merge();
    CHECK(writer.version().items() == 701);
    CHECK(search::live_catalog(all, following).version().items() == 701);
    often.catch_up();
    CHECK(often.version().items() == 701);
  }
}

TEST_CASE("live_catalog: a follower beside a writer that changes and merges") {
  temporary_directory const here;
  search::live_catalog writer(tables(), {.log = here / "log", .snapshot_after = 1});
  search::live_catalog follower(tables(), {.log = here / "log", .follow = true});
  constexpr int changes = 300;
  std::jthread writes([&] {
    random_stream random(5, 0);
    for (int step = 0; step < changes; ++step) {
      auto const change = random_change(random);
      writer.apply({&change, 1});
      if (step % 20 == 19) writer.merge();
    }
  });
  auto const end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (follower.catch_up() < changes) REQUIRE(std::chrono::steady_clock::now() < end);
  writes.join();  // a record is in the log before its version is published
  auto const mine = follower.version(), its = writer.version();
  CHECK(mine.number() == its.number());
  CHECK(mine.items() == its.items());
  for (auto const kind : {text, image})
    for (index_t i = 0; i < its.items(); ++i)
      CHECK(std::ranges::equal(mine.sequence(kind, item_id(i)), its.sequence(kind, item_id(i))));
}

TEST_CASE("live_catalog: a follower notices that a change which it has made was refused") {
  temporary_directory const here;
  std::vector<std::string> logs;  // two changes; the second is another one of the same length
  for (int const second : {2, 3}) {
    auto const log = here / ("log " + std::to_string(second));
    search::live_catalog writer(tables(), {.log = log});
    writer.set(item_id{1}, {text_of(1)});
    writer.set(item_id{1}, {text_of(second)});
    logs.push_back(read_file(log));
  }
  REQUIRE(logs[0].size() == logs[1].size());
  auto const overwrite = [&](std::string const& content) {  // the same file
    std::ofstream(here / "log", std::ios::binary | std::ios::in | std::ios::out)
        .write(content.data(), std::ssize(content));
  };
  std::ofstream(here / "log").close();
  overwrite(logs[0]);
  search::live_catalog follower(tables(), {.log = here / "log", .follow = true});
  CHECK(follower.catch_up() == 2);
  overwrite(logs[1]);
  CHECK_THROWS_WITH_AS(follower.catch_up(), doctest::Contains("removed or replaced"), file_error);
  CHECK(follower.has_failed());
  overwrite(logs[0]);
  CHECK_THROWS_WITH_AS(follower.catch_up(), doctest::Contains("has to be loaded again"), error);
  CHECK(follower.version().number() == 2);
}

TEST_CASE("live_catalog: a follower waits for the end of a record, and names what is damaged") {
  temporary_directory const here;
  std::vector<std::string> logs = {""};  // after each change
  {
    search::live_catalog writer(tables(), {.log = here / "log"});
    random_stream random(3, 0);
    for (int i = 0; i < 4; ++i) {
      auto const change = random_change(random);
      writer.apply({&change, 1});
      logs.push_back(read_file(here / "log"));
    }
  }
  auto const put_over = [&](std::string const& content) {  // in place, as a log grows
    std::ofstream(here / "copy", std::ios::binary | std::ios::in | std::ios::out)
        .write(content.data(), static_cast<std::streamsize>(content.size()));
  };
  std::ofstream(here / "copy").close();
  put_over(logs[1]);
  search::live_catalog follower(tables(), {.log = here / "copy", .follow = true});
  CHECK(follower.version().number() == 1);
  for (std::size_t n = 1; n < 4; ++n) {
    for (auto length = logs[n].size(); length < logs[n + 1].size(); length += 7) {
      put_over(logs[n + 1].substr(0, length));
      CHECK(follower.catch_up() == n);
    }
    put_over(logs[n + 1]);
    CHECK(follower.catch_up() == n + 1);
  }
  std::filesystem::resize_file(here / "copy", 100);
  CHECK_THROWS_WITH_AS(follower.catch_up(), doctest::Contains("removed or replaced"), file_error);
  auto damaged = logs[4];
  damaged[logs[1].size() + 40] ^= 1;
  put(here / "damaged", damaged);
  CHECK_THROWS_WITH_AS(search::live_catalog(tables(), {.log = here / "damaged", .follow = true}),
                       doctest::Contains("the record is damaged"), file_error);
  auto missing = logs[4];
  missing.erase(logs[1].size(), logs[2].size() - logs[1].size());
  put(here / "missing", missing);
  CHECK_THROWS_WITH_AS(search::live_catalog(tables(), {.log = here / "missing", .follow = true}),
                       doctest::Contains("has no record 2"), file_error);
}
