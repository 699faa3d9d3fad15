#include "mql4grec/search/catalog_log.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>

#include "mql4grec/core/files.hpp"
#include "support/check_close.hpp"
#include "support/hostile_files.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
using search::catalog_change;
using records = std::vector<std::pair<std::uint64_t, std::vector<catalog_change>>>;

catalog_change change(int item, std::vector<std::vector<int>> const& sequences) {
  catalog_change out{item_id{item}};
  for (auto const& sequence : sequences) {
    auto& tokens = out.sequences.emplace_back();
    for (int const token : sequence) tokens.push_back(token_t{token});
  }
  return out;
}

records const written{
    {3, {change(7, {{1, 2, 3}, {4, 5}})}}, {4, {change(8, {}), change(7, {{}, {9}})}}, {9, {change(0, {{1, 1, 1}})}}};

void append(search::catalog_log& log, records const& all) {
  for (auto const& [number, changes] : all) {
    std::vector<catalog_change const*> pointers;
    for (auto const& each : changes) pointers.push_back(&each);
    log.append(number, pointers);
  }
}
struct replayed {
  records content;
  std::vector<std::string> reports;
};
replayed replay(std::filesystem::path const& path, std::uint64_t fingerprint = 5, std::uint64_t after = 0) {
  replayed out;
  search::catalog_log const log(path, {.fingerprint = fingerprint,
                                       .after = after,
                                       .replay =
                                           [&](std::uint64_t number, std::span<catalog_change const> changes) {
                                             out.content.emplace_back(number,
                                                                      std::vector(changes.begin(), changes.end()));
                                           },
                                       .report = [&](std::string const& line) { out.reports.push_back(line); }});
  return out;
}
/// The bytes of a log with the records `written`, and where each of them begins.
std::string whole_log(std::vector<std::size_t>* starts = nullptr) {
  temporary_directory const directory;
  {
    search::catalog_log log(directory / "log", {.fingerprint = 5});
    for (auto const& each : written) {
      if (starts) starts->push_back(to_size(log.bytes()));
      append(log, {each});
    }
  }
  return read_file(directory / "log");
}
}  // namespace

TEST_CASE("catalog log: what was appended is replayed in order, also after several openings") {
  temporary_directory const directory;
  auto const path = directory / "log";
  CHECK(replay(path).content.empty());
  for (auto const& each : written) {
    search::catalog_log log(path, {.fingerprint = 5});
    append(log, {each});
    CHECK(log.bytes() == static_cast<index_t>(std::filesystem::file_size(path)));
  }
  CHECK(replay(path).content == written);
  CHECK(replay(path).reports.empty());
  CHECK(replay(path, 5, 3).content == records(written.begin() + 1, written.end()));
  CHECK(complaint<file_error>([&] { replay(path, 6); }) ==
        path.string() + ": byte 16: the file belongs to another catalog or to other codes of its items");
}

TEST_CASE("catalog log: a log that is open can't be opened a second time") {
  temporary_directory const directory;
  auto const path = directory / "log";
  {
    search::catalog_log const log(path, {.fingerprint = 5});
    CHECK(complaint<file_error>([&] { replay(path); }) ==
          path.string() + ": is used by another process, or twice by this one");
  }
  CHECK(replay(path).content.empty());
}

TEST_CASE("catalog log: drop_before() removes the earlier records only") {
  temporary_directory const directory;
  auto const path = directory / "log";
  {
    search::catalog_log log(path, {.fingerprint = 5});
    append(log, {written[0]});
    auto const position = log.bytes();
    append(log, {written[1]});
    log.drop_before(position);
    append(log, {written[2]});
    CHECK(log.bytes() == static_cast<index_t>(std::filesystem::file_size(path)));
  }
  CHECK(replay(path).content == records(written.begin() + 1, written.end()));
}

TEST_CASE("catalog log: a record that can't be written is removed, and later ones are appended") {
  temporary_directory const directory;
  auto const path = directory / "log";
  search::catalog_log log(path, {.fingerprint = 5});
  append(log, {written[0]});
  auto const before = log.bytes();
  // the file may grow by ten bytes only, as on a full disk
  auto const handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit whole{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &whole) == 0);
  rlimit const tight{static_cast<rlim_t>(before + 10), whole.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &tight) == 0);
  auto const message = complaint<file_error>([&] { append(log, {written[1]}); });
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &whole) == 0);
  std::signal(SIGXFSZ, handler);
  CHECK(message.starts_with(path.string() + ": can't be written: "));
  CHECK(std::filesystem::file_size(path) == static_cast<std::uintmax_t>(before));
  append(log, {written[2]});
  CHECK(read_file(path).size() == static_cast<std::size_t>(log.bytes()));
}

TEST_CASE("catalog log: a record that ends early is removed with one line, wherever it ends; the others remain") {
  std::vector<std::size_t> starts;
  auto const whole = whole_log(&starts);
  temporary_directory const directory;
  auto const path = directory / "log";
  for (std::size_t size = starts[0]; size < whole.size(); ++size) {
    std::filesystem::remove(path);
    put(path, std::string_view(whole).substr(0, size));
    auto const complete = to_size(std::ranges::upper_bound(starts, size) - starts.begin()) - 1;
    auto const found = replay(path);
    CHECK(found.content == records(written.begin(), written.begin() + static_cast<std::ptrdiff_t>(complete)));
    bool const torn = size != starts[complete];
    REQUIRE(found.reports.size() == (torn ? 1 : 0));
    if (torn)
      CHECK(found.reports[0] == path.string() + ": byte " + std::to_string(starts[complete]) +
                                    ": an incomplete record of " + std::to_string(size - starts[complete]) +
                                    " bytes was removed; it is incomplete or damaged");
    CHECK(std::filesystem::file_size(path) == starts[complete]);
    if (size % 10) continue;
    {
      search::catalog_log log(path, {.fingerprint = 5});
      append(log, {{20, {change(1, {})}}});  // the log goes on where it was cut
    }
    CHECK(replay(path).content.size() == complete + 1);
  }
  // Blocks of a file may reach the disk in any order.
  put(path, whole.substr(0, starts[2]) + std::string(whole.size() - starts[2], '\0'));
  CHECK(replay(path).content == records(written.begin(), written.begin() + 2));
}

TEST_CASE("catalog log: every damaged byte before the last record is an error that names the record's position") {
  std::vector<std::size_t> starts;
  auto const whole = whole_log(&starts);
  temporary_directory const directory;
  auto const path = directory / "log";
  for (std::size_t at = 0; at < starts[2]; ++at) {
    auto damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    std::filesystem::remove(path);
    put(path, damaged);
    auto const message = complaint<file_error>([&] { replay(path); });
    auto const record = to_size(std::ranges::upper_bound(starts, at) - starts.begin());
    auto const expected =
        record == 0 ? path.string() + ": byte "
                    : path.string() + ": byte " + std::to_string(starts[record - 1]) + ": the record is damaged";
    CHECK(message.starts_with(expected));
    CHECK(read_file(path) == damaged);
  }
  put(path, whole.substr(0, starts[1]) + whole.substr(starts[0]));
  CHECK(complaint<file_error>([&] { replay(path); }) ==
        path.string() + ": byte " + std::to_string(starts[1]) + ": record 3 after record 3");
}

TEST_CASE("catalog log: damaged logs are refused in one line or read inside their bounds" *
          doctest::test_suite("slow")) {
  check_damaged(whole_log(),
                std::string_view("\0\1\x7f\xff"
                                 "chng",
                                 8),
                whole_log().size(), [](std::filesystem::path const& path) { replay(path); });
}

TEST_CASE("catalog snapshot: it is read as it was written; damaged ones are refused or read inside their bounds") {
  temporary_directory const directory;
  search::catalog_snapshot snapshot{.number = 12, .tables = {}};
  snapshot.tables.emplace_back(language::modality::text, 6, 2);
  snapshot.tables.emplace_back();
  snapshot.tables[0].set(item_id{1}, std::vector{token_t{4}, token_t{5}});
  snapshot.tables[0].set(item_id{5}, std::vector{token_t{6}, token_t{7}});
  search::write_snapshot(directory / "s", 5, snapshot);
  auto const back = search::read_snapshot(directory / "s", 5);
  REQUIRE(back.has_value());
  CHECK(back->number == 12);
  CHECK(back->tables == snapshot.tables);
  CHECK_FALSE(search::read_snapshot(directory / "none", 5).has_value());
  CHECK_THROWS_AS(search::read_snapshot(directory / "s", 6), file_error);
  auto const content = read_file(directory / "s");
  auto const read = [](std::filesystem::path const& path) { (void)search::read_snapshot(path, 5); };
  check_cut_short(content, read);
  check_damaged(content, std::string_view("\0\1\x7f\xff", 4), content.size(), read);
}
