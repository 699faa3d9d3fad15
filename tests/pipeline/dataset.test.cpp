#include "mql4grec/pipeline/dataset.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <tuple>

#include "catalog/scratch.hpp"
#include "core/temporary_directory.hpp"
#include "mql4grec/catalog/interaction_files.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/rank/popularity.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
/// A dataset directory of two items; an empty index isn't written.
std::filesystem::path dataset_of(std::filesystem::path const& directory, std::string const& text_index,
                                 std::string const& image_index) {
  make_directory(directory);
  catalog::dataset_paths const paths(directory);
  put(paths.interactions(), R"({"u": [0, 1]})");
  if (!text_index.empty()) put(pipeline::index_path(paths, language::modality::text), text_index);
  if (!image_index.empty()) put(pipeline::index_path(paths, language::modality::image), image_index);
  return directory;
}
using levels = std::vector<index_t>;
levels const paper = {256, 256, 256, 256};
std::vector<language::modality_tokens> families(levels const& text, levels const& images) {
  return {{"a", text}, {"A", images}};
}

char const *const small_text = R"({"0": ["<a_1>", "<b_0>", "<c_7>", "<d_2>"]})",
                  *const small_images = R"({"1": ["<A_0>", "<B_0>", "<C_0>", "<D_255>"]})";
}  // namespace

TEST_CASE("vocabulary_of: a dataset that fits the paper's vocabulary gets it, also without an index") {
  temporary_directory const root;
  CHECK(pipeline::vocabulary_of({}) == language::vocabulary());
  CHECK(pipeline::vocabulary_of({root / "absent"}) == language::vocabulary());
  CHECK(pipeline::vocabulary_of({dataset_of(root / "both", small_text, small_images)}) == language::vocabulary());
  CHECK(pipeline::vocabulary_of({dataset_of(root / "one", small_text, "")}) == language::vocabulary());
  CHECK(pipeline::vocabulary_of({dataset_of(root / "none", "{}", "{}")}) == language::vocabulary());
}

TEST_CASE("vocabulary_of: another shape gets the smallest vocabulary for all datasets, per modality") {
  temporary_directory const root;
  auto const suffix = dataset_of(
      root / "suffix",
      R"({"0": ["<a_9>", "<b_1>", "<c_1>", "<d_1>", "<e_0>"], "1": ["<a_3>", "<b_1>", "<c_9>", "<d_1>", "<e_1>"]})",
      "");
  auto const other = dataset_of(root / "other", R"({"0": ["<a_2>", "<b_4>", "<c_1>", "<d_1>", "<e_0>"]})",
                                R"({"0": ["<A_511>", "<B_2>", "<C_1>", "<D_1>"]})");
  auto const few = dataset_of(root / "few", "", R"({"0": ["<A_5>", "<B_0>", "<C_1>", "<D_2>"]})");
  CHECK(pipeline::vocabulary_of({suffix}).options().modalities == families({10, 2, 10, 2, 2}, paper));
  CHECK(pipeline::vocabulary_of({suffix, other, few}).options().modalities ==
        families({10, 5, 10, 2, 2}, {512, 3, 2, 3}));
  CHECK(pipeline::vocabulary_of({few}).options().modalities == families(paper, paper));
  auto const vocab = pipeline::vocabulary_of({suffix, other, few});
  CHECK(vocab.prompts() == 18);
  for (auto const& directory : {suffix, other, few}) CHECK_NOTHROW(pipeline::read_dataset(directory, vocab));
  CHECK(pipeline::read_dataset(suffix, vocab).table(language::modality::text).levels() == 5);
  CHECK(pipeline::read_dataset(suffix, vocab).table(language::modality::image).levels() == 4);
}

TEST_CASE("vocabulary_of: datasets that differ in their levels are refused with file and item") {
  temporary_directory const root;
  auto const three = dataset_of(root / "three", R"({"0": ["<a_1>", "<b_0>", "<c_7>"]})", "");
  auto const four = dataset_of(root / "four", R"({"1": ["<a_1>", "<b_0>", "<c_7>", "<d_1>"]})", "");
  CHECK(complaint<file_error>([&] {
          return pipeline::vocabulary_of({three, four});
        }) == pipeline::index_path(catalog::dataset_paths(four), language::modality::text).string() +
                  ": item 1 has 4 tokens, expected 3, as many as those of " +
                  pipeline::index_path(catalog::dataset_paths(three), language::modality::text).string() + " have");
  CHECK(complaint<file_error>([&] { return pipeline::read_dataset(three, language::vocabulary()); }) ==
        pipeline::index_path(catalog::dataset_paths(three), language::modality::text).string() +
            ": item 0 has 3 tokens, expected 4");
  CHECK(complaint<file_error>([&] {
          return pipeline::read_dataset(three, language::vocabulary({.modalities = families({2, 1, 7}, paper)}));
        }) == pipeline::index_path(catalog::dataset_paths(three), language::modality::text).string() +
                  ": item 0, place 2: '<c_7>' is not in the vocabulary, expected <c_0> to <c_6>");
}

TEST_CASE("read_dataset: the catalog is the union of the items of interactions, indices and descriptions") {
  temporary_directory const root;
  language::vocabulary const vocab({.modalities = {{"a", {4}}, {"A", {4}}}, .prompts = 0});
  auto const directory = dataset_of(root / "New", R"({"0": ["<a_0>"], "5": ["<a_1>"]})", R"({"7": ["<A_1>"]})");
  put(catalog::dataset_paths(directory).items(), R"({"9": {"title": "described"}})");
  auto const data = pipeline::read_dataset(directory, vocab);
  CHECK(data.interactions.item_count == 10);
  CHECK(pipeline::catalog_of(data) == std::vector{item_id{0}, item_id{1}, item_id{5}, item_id{7}, item_id{9}});
  CHECK(pipeline::items_without_tokens(data) == std::vector{item_id{1}, item_id{9}});
  for (auto const kind : {language::modality::text, language::modality::image}) CHECK(data.table(kind).items() == 10);
  put(catalog::dataset_paths(directory).interactions(), R"({"u": [0, 2147483646]})");
  auto const huge = pipeline::read_dataset(directory, vocab);
  CHECK(std::ssize(pipeline::catalog_of(huge)) == 5);
  CHECK(pipeline::items_without_tokens(huge).back() == item_id{2147483646});
  CHECK(rank::popularity(huge.interactions, 3).items == std::vector{item_id{0}, item_id{2147483646}, item_id{1}});
}

TEST_CASE("split_by_time: reads the times beside the interactions, and refuses a time that doesn't divide them") {
  temporary_directory const root;
  auto const directory = dataset_of(root / "Shop", small_text, "");
  auto data = pipeline::read_dataset(directory, language::vocabulary());
  auto const path = catalog::dataset_paths(directory).times();
  auto const refusal = [&](double until) {
    return complaint<file_error>([&] { pipeline::split_by_time(data, directory, until); });
  };
  CHECK(refusal(5).starts_with(path.string() + ": is missing"));
  put(path, R"({"u": [1400000000000, 1500000000000]})");
  CHECK(refusal(1.4e9) ==
        path.string() + ": the times are from 1400000000000 to 1500000000000, and 1400000000 doesn't divide them");
  CHECK_FALSE(refusal(1.4e12).empty());
  CHECK_FALSE(refusal(1.6e12).empty());
  CHECK_FALSE(refusal(std::nan("")).empty());
  pipeline::split_by_time(data, directory, 1.5e12);
  CHECK(data.interactions.time->known == levels{1});
}

TEST_CASE("read_dataset: no item has a sequence in a modality that the vocabulary lacks") {
  temporary_directory const root;
  auto const directory = dataset_of(root / "one", R"({"0": ["<a_0>"]})", R"({"1": ["<A_1>"]})");
  for (auto const& [families, text, images] :
       {std::tuple(std::vector<language::modality_tokens>{{"a", {4}}}, 1, 0), {{{"a", {}}, {"A", {4}}}, 0, 1}}) {
    auto const data = pipeline::read_dataset(directory, language::vocabulary({.modalities = families, .prompts = 0}));
    CHECK(language::items_with_sequence(data.table(language::modality::text)) == text);
    CHECK(language::items_with_sequence(data.table(language::modality::image)) == images);
  }
}

TEST_CASE(
    "read_dataset: packed interactions and JSON lines give the dataset that JSON gives, and the same split by time") {
  temporary_directory const here;
  auto const directory = here / "Shop";
  catalog::dataset_paths const paths(directory);
  std::filesystem::create_directory(directory);
  put(paths.interactions(), R"({"u": [0, 1, 2], "v": [3], "w": []})");
  put(paths.times(), R"({"u": [1, 2, 5], "v": [4], "w": []})");
  put(paths.index("lemb"), R"({"0": ["<a_1>", "<b_2>", "<c_3>", "<d_4>"], "9": ["<a_1>", "<b_2>", "<c_3>", "<d_5>"]})");
  auto const read = [&] {
    auto data = pipeline::read_dataset(directory, language::vocabulary());
    pipeline::split_by_time(data, directory, 3);
    return data;
  };
  auto const json = read();
  auto const is_json = [&](tasks::dataset const& data) {
    return data.interactions == json.interactions && data.tokens == json.tokens &&
           pipeline::catalog_of(data) == pipeline::catalog_of(json);
  };
  catalog::pack_interactions(paths);
  CHECK(is_json(read()));
  CHECK(read().interactions.items.is_mapped());
  std::filesystem::remove(paths.interactions());
  std::filesystem::remove(paths.times());
  CHECK(is_json(read()));
  CHECK(has(complaint<file_error>([&] {
              auto data = pipeline::read_dataset(directory, language::vocabulary());
              pipeline::split_by_time(data, directory, 30);
            }),
            "Shop.inter.packed: the times are from 1 to 5, and 30 doesn't divide them"));
  std::filesystem::remove(paths.packed());
  put(directory / "Shop.inter-1-of-2.jsonl", R"({"user": "u", "items": [0, 1, 2], "times": [1, 2, 5]})");
  put(directory / "Shop.inter-2-of-2.jsonl",
      R"({"user": "v", "items": [3], "times": [4]} {"user": "w", "items": [], "times": []})");
  CHECK(is_json(read()));
  put(directory / "Shop.inter-1-of-2.jsonl", R"({"user": "u", "items": [0, 1, 2]})");
  put(directory / "Shop.inter-2-of-2.jsonl", "");
  CHECK(has(complaint<file_error>([&] { (void)read(); }), "Shop.inter-1-of-2.jsonl: has no times"));
}
