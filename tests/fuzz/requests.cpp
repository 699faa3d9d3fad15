// Fuzz target: requests to the service from hostile clients. A body is refused by bad_request, in one line, or what was
// read from it keeps its limits; so are paths and queries. HTTP itself is Boost.Beast's.
//
//     cmake --build BUILD --target fuzz_requests      (-DCMAKE_CXX_COMPILER=clang++ -DMQL4GREC_FUZZ=ON)
//     BUILD/tests/fuzz/fuzz_requests -runs=1000000 -max_len=2048 -dict=tests/fuzz/requests.dict corpus
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "check.hpp"
#include "serve/http_server.hpp"
#include "serve/request_json.hpp"

namespace {

using namespace mql4grec;
using namespace mql4grec::program;
using namespace mql4grec::test;
using namespace std::chrono_literals;

/// Ten items of two modalities with four words each, with titles, raw ids and sets.
served_catalog ten_items() {
  auto const here = std::filesystem::temp_directory_path() / ("mql4grec-fuzz-" + std::to_string(::getpid()));
  auto const dataset = here / "Shop";
  std::filesystem::create_directories(dataset);
  auto const write = [&](char const* suffix) { return std::ofstream(dataset / (std::string("Shop.") + suffix)); };
  write("inter.json") << R"({"0": [0, 1, 2, 3], "1": [4, 5, 6, 7, 8, 9]})";
  json text, image, items;
  auto ids = write("item2id");
  for (int i = 0; i < 10; ++i) {
    auto const number = std::to_string(i);
    text[number] = {"<a_" + number + ">", "<b_1>", "<c_2>", "<d_3>"};
    image[number] = {"<A_" + number + ">", "<B_1>", "<C_2>", "<D_3>"};
    items[number] = {{"title", "Pan " + number}, {"brand", i < 5 ? "Forge" : "Mill"}};
    ids << "P" << number << "\t" << number << "\n";
  }
  ids.close();
  write("index_lemb.json") << text;
  write("index_vitemb.json") << image;
  write("item.json") << items;
  language::vocabulary const vocab;
  served_catalog out({.dataset = dataset}, vocab, std::make_shared<added_items>(std::filesystem::path()));
  out.show(std::make_shared<search::live_catalog>(out.data().tokens, search::live_catalog_options{.sets = out.sets()}));
  std::filesystem::remove_all(here);
  return out;
}

void check_recommend(std::string const& text, served_catalog const& catalog) {
  program::request_limits const limits;
  auto const [request, lists, calibrated] = read_recommend(text, catalog, limits);
  auto const& options = request.options;
  require(options.k >= 1 && options.k <= limits.k && request.history.size() <= limits.history);
  require(options.quotas.size() <= limits.quotas && options.deadline.value_or(0ns) <= 600s);
  auto const known = [&](std::vector<item_id> const& items) {
    for (auto const item : items) require(index(item) >= 0 && index(item) < catalog.items());
  };
  known(request.history);
  known(options.filter.deny);
  if (options.filter.allow) known(*options.filter.allow);
}

void check_item(std::string const& text, served_catalog const& catalog,
                std::vector<pipeline::item_placer> const& translators) {
  auto const item = read_item(text, catalog, translators);
  for (std::size_t m = 0; m < item.sequences.size(); ++m)
    require(item.sequences[m].empty() || std::ssize(item.sequences[m]) == 4);
  for (auto const& features : item.features) {
    require(features.empty() || features.size() == 3);
    for (auto const x : features) require(std::isfinite(x));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  static auto const catalog = ten_items();
  // Nothing places an item here.
  static std::vector<pipeline::item_placer> const translators = {
      {.kind = language::modality::text, .width = 3, .place = {}},
      {.kind = language::modality::image, .width = 3, .place = {}}};
  std::string const text(reinterpret_cast<char const*>(data), size);
  expect_one_line<bad_request>([&] { check_recommend(text, catalog); });
  expect_one_line<bad_request>([&] { check_item(text, catalog, translators); });
  expect_one_line<bad_request>(
      [&] { static_cast<void>(read_reload(text, {.model = "model", .catalog = {.dataset = "Shop"}})); });
  expect_one_line<bad_request>([&] { static_cast<void>(decoded_percent(text)); });
  expect_one_line<bad_request>([&] { static_cast<void>(query_parameter(text, "query")); });
  expect_one_line<bad_request>([&] { static_cast<void>(catalog.item_of_path(text)); });
  expect_one_line<bad_request>([&] { static_cast<void>(catalog.search(text, 10)); });
  return 0;
}
