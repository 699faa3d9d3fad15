#include "mql4grec/pipeline/model_metadata.hpp"

#include <doctest/doctest.h>

#include "core/temporary_directory.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/pipeline/dataset.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
/// The text of a query after `items` different items, each <a_i>… in text and <A_i>… in images.
std::string query_text(tasks::any_query_task const& query, index_t items = 0) {
  language::vocabulary const vocab;
  std::vector<language::token_table> tables;
  std::vector<item_id> history;
  for (auto const kind : {language::modality::text, language::modality::image}) {
    auto& table = tables.emplace_back(kind, items, 1);
    for (index_t i = 0; i < items; ++i) table.set(item_id(i), std::vector{vocab.token(kind, 0, code_t(i))});
  }
  for (index_t i = 0; i < items; ++i) history.push_back(item_id(i));
  tasks::batch written;
  query.write_query(history, {.tables = tables, .vocab = vocab}, written);
  return vocab.text(written.input(0));
}
}  // namespace

TEST_CASE("model metadata: a round trip preserves vocabulary and tasks") {
  temporary_directory const directory;
  for (auto const& options :
       {language::vocabulary_options{}, language::vocabulary_options{.modalities = {{"a", {3, 5}}}, .prompts = 0},
        language::vocabulary_options{.modalities = {{"a", {2}}, {"A", {2, 4}}, {"audio_a", {4, 1}}}, .prompts = 21}})
    for (char const* tasks : {"all", "next", "released", "released-next"}) {
      pipeline::write_model_metadata(directory.path(), {language::vocabulary(options), tasks});
      auto const metadata = pipeline::read_model_metadata(directory.path());
      CHECK(metadata.vocab == language::vocabulary(options));
      CHECK(metadata.vocab.options() == options);
      CHECK(metadata.tasks == tasks);
    }
  CHECK(directory.files() == 1);
}

TEST_CASE("model metadata: domains have the prompt tokens after the paper's, and new ones take the next") {
  temporary_directory const directory;
  language::vocabulary const vocab({.modalities = {{"a", {3}}}, .prompts = 20});
  pipeline::model_metadata metadata{.vocab = vocab, .tasks = "next", .domains = {"Games"}};
  CHECK(pipeline::extended_domains(metadata, {"Games", "Arts", "Arts"}) == std::vector<std::string>{"Games", "Arts"});
  CHECK(complaint<error>([&] {
          return pipeline::extended_domains(metadata, {"Arts", "Music"});
        }) == "the vocabulary has 2 tokens for domains, but there are 3, the last one Music");
  metadata.domains = {"Games", "Arts"};
  pipeline::write_model_metadata(directory.path(), metadata);
  auto const read = pipeline::read_model_metadata(directory.path());
  CHECK(read.domains == metadata.domains);
  CHECK(vocab.text(pipeline::domain_token(read, "Arts").value()) == "<*_19>");
  CHECK(!pipeline::domain_token(read, "Music"));
  CHECK(pipeline::tasks_of(read, "Games").prefix == vocab.prompt(18));
  CHECK(!pipeline::tasks_of(read, "").prefix);
  json damaged = read_json(directory / "mql4grec.json");
  damaged["domains"] = {"Games", "Arts", "Music"};
  write_json(directory / "mql4grec.json", damaged);
  CHECK_THROWS_AS(static_cast<void>(pipeline::read_model_metadata(directory.path())), file_error);
  pipeline::write_model_metadata(directory.path(), {vocab, "next"});
  CHECK(!read_json(directory / "mql4grec.json").contains("domains"));
}

TEST_CASE("model metadata: tokens keep the ids of their checkpoint") {
  temporary_directory const directory, onwards;
  put(directory / "added_tokens.json", R"({"<a_0>": 32101, "<a_1>": 32100, "<b_0>": 40000, "<A_0>": 7, "<*_0>": 9})");
  auto const released = pipeline::read_model_metadata(directory.path());
  pipeline::write_model_metadata(onwards.path(), released);
  auto const metadata = pipeline::read_model_metadata(onwards.path());
  CHECK(metadata.vocab == released.vocab);
  CHECK(metadata.vocab.size() == 40001);
  CHECK(metadata.vocab.token(language::modality::text, 0, code_t{1}) == token_t{32100});
}

TEST_CASE("model metadata: tokens and modalities that a tokenizer lacks stay absent") {
  for (auto const* tokenizer : {R"({"<a_1>": 2, "<a_3>": 3, "<A_1>": 4, "<*_5>": 5})", R"({"<A_0>": 2, "<A_1>": 3})",
                                R"({"<a_0>": 2, "<b_3>": 4})"}) {
    temporary_directory const directory, onwards;
    put(directory / "added_tokens.json", tokenizer);
    auto const released = pipeline::read_model_metadata(directory.path());
    pipeline::write_model_metadata(onwards.path(), released);
    auto const metadata = pipeline::read_model_metadata(onwards.path());
    CHECK(metadata.vocab == released.vocab);
    for (auto const kind : {language::modality::text, language::modality::image})
      CHECK(metadata.vocab.has(kind) == released.vocab.has(kind));
  }
}

TEST_CASE(
    "model metadata: without the file, a tokenizer means the released tasks; without both, it is the paper's model") {
  temporary_directory const directory;
  auto const paper = pipeline::read_model_metadata(directory.path());
  CHECK(paper.vocab == language::vocabulary());
  CHECK(paper.tasks == "all");
  put(directory / "added_tokens.json", R"({"<a_0>": 32101, "<a_1>": 32100})");
  CHECK(pipeline::read_model_metadata(directory.path()).tasks == "released");
  CHECK(pipeline::read_model_metadata(directory.path()).vocab.size() == 32102);
  pipeline::write_model_metadata(directory.path(), {language::vocabulary(), "next"});
  CHECK(pipeline::read_model_metadata(directory.path()).vocab ==
        language::vocabulary());  // mql4grec.json goes before the tokenizer
}

TEST_CASE("model metadata: a damaged file is a file_error that begins with its path") {
  temporary_directory const directory;
  auto const path = directory / "mql4grec.json";
  auto const refusal = [&](std::string_view content) {
    put(path, content);
    auto const message = complaint<file_error>([&] { return pipeline::read_model_metadata(directory.path()); });
    CHECK((message.empty() || message.starts_with(path.string() + ": ")));
    return message;
  };
  auto const check_message = [](std::string const& message, std::string_view part) {
    CAPTURE(message);
    CHECK(message.find(part) != message.npos);
  };
  CHECK(refusal(R"({"tasks": "all", "modalities": [{"prefix": "a", "codes": [2]}], "prompts": 18})") == "");
  check_message(refusal(""), "is empty");
  check_message(refusal("{\"tasks\": "), "not valid JSON");
  check_message(refusal("[]"), "key 'tasks' is missing");
  check_message(refusal(R"({"tasks": 3, "modalities": [], "prompts": 18})"), "key 'tasks'");
  check_message(refusal(R"({"tasks": "some", "modalities": [], "prompts": 18})"),
                "tasks 'some': expected all, next, released, released-next or a list of next-text");
  check_message(refusal(R"({"tasks": "all", "prompts": 18})"), "key 'modalities' is missing");
  check_message(refusal(R"({"tasks": "all", "modalities": [7], "prompts": 18})"), "key 'prefix' is missing");
  check_message(refusal(R"({"tasks": "all", "modalities": [{"prefix": "a", "codes": "many"}], "prompts": 18})"),
                "key 'codes'");
  check_message(refusal(R"({"tasks": "all", "modalities": [{"prefix": "a", "codes": []}], "prompts": 18})"),
                "at least one level");
  check_message(
      refusal(
          R"({"tasks": "all", "modalities": [{"prefix": "a", "codes": [1]}, {"prefix": "a", "codes": [1]}], "prompts": 0})"),
      "share the token <a_0>");
  check_message(refusal(R"({"tasks": "all", "modalities": [{"prefix": "a", "codes": [99999999999]}], "prompts": 18})"),
                "key 'codes': found 99999999999");
  check_message(refusal(R"({"tasks": "all", "modalities": [{"prefix": "a", "codes": [16777215, 1]}], "prompts": 18})"),
                "key 'codes': found 16777216, expected 0 or more and less than 16777216");
  check_message(refusal(R"({"tasks": "all", "modalities": [{"prefix": "a", "codes": [2.5]}], "prompts": 18})"),
                "key 'codes': found 2.5, expected a whole number");
  check_message(refusal(R"({"tasks": "all", "modalities": [{"prefix": "a", "codes": [2]}], "prompts": -1})"),
                "key 'prompts': found -1");
  check_message(
      refusal(
          R"({"tasks": "all", "modalities": [{"prefix": "a", "codes": [1]}], "prompts": 0, "ids": {"<a_0>": 2147483647}})"),
      "key 'ids'");
  check_message(refusal(R"({"tasks": "all", "modalities": [{"prefix": "a", "codes": [1]}], "prompts": 0, "ids": [5]})"),
                "key 'ids'");
}

TEST_CASE("query_prompts: tasks with equal prompts have equal results") {
  CHECK(pipeline::query_prompts("all") == "<*_0><*_1><*_2>, <*_3><*_4><*_5>");
  CHECK(pipeline::query_prompts("next") == pipeline::query_prompts("all"));
  CHECK(pipeline::query_prompts("released") == "no prompts");
  CHECK(pipeline::query_prompts("released-next") == pipeline::query_prompts("released"));
}

TEST_CASE("mixture_named: a list has the named tasks in its order, with the prompts of all tasks") {
  auto const one = pipeline::mixture_named("text-to-image");
  CHECK(one.tasks.size() == 1);
  CHECK(one.validated.empty());  // validated by the queries
  CHECK(one.queries.size() == 2);
  auto const three = pipeline::mixture_named("next-image,align-text-image,next-image");
  CHECK(three.tasks.size() == 3);
  REQUIRE(three.validated.size() == 2);
  for (auto const& task : three.validated) {
    CHECK(task.to() == language::modality::image);
    CHECK(query_text(task, 30) == query_text(tasks::all_tasks().queries[1], 30));
  }
  CHECK(pipeline::query_prompts("next-text") == pipeline::query_prompts("all"));
  CHECK(complaint<error>([] { return pipeline::mixture_named("next-text,next-words"); }) ==
        "tasks: 'next-words' is unknown, expected next-text, next-image, text-to-image, image-to-text, "
        "align-text-image or align-image-text");
  CHECK_THROWS_AS(pipeline::mixture_named("next-text,"), error);
  CHECK_THROWS_AS(pipeline::mixture_named("some"), error);
}

TEST_CASE("mixture_named: the names and the prompts of each") {
  CHECK(pipeline::mixture_named("all").tasks.size() == 6);
  CHECK(pipeline::mixture_named("next").tasks.size() == 2);
  CHECK(pipeline::mixture_named("released-next").tasks.size() == 2);
  CHECK(query_text(pipeline::mixture_named("released").query(language::modality::text)) == "</s>");
  CHECK(query_text(pipeline::mixture_named("all", {.max_history = 3}).query(language::modality::image), 5) ==
        "<*_3><*_4><*_5><A_2><A_3><A_4></s>");
  CHECK_THROWS_AS(pipeline::mixture_named(""), error);
}

TEST_CASE("read_dataset: interactions, token sequences and optional descriptions of a directory") {
  temporary_directory const root;
  language::vocabulary const vocab({.modalities = {{"a", {3}}, {"A", {2, 2}}}});
  auto const directory = root / "Toys";
  make_directory(directory);
  catalog::dataset_paths const paths(directory);
  put(paths.interactions(), R"({"9": [0, 2, 1], "4": [3]})");
  put(pipeline::index_path(paths, language::modality::text), R"({"0": ["<a_2>"], "3": ["<a_0>"]})");
  put(pipeline::index_path(paths, language::modality::image), R"({"1": ["<A_1>", "<B_0>"]})");
  auto const bare = pipeline::read_dataset(directory, vocab);
  CHECK(bare.name == "Toys");
  CHECK(bare.interactions.users() == 2);
  CHECK(bare.items.empty());
  CHECK(bare.table(language::modality::text).items() == 4);
  CHECK(vocab.text(bare.table(language::modality::text).of(item_id{0})) == "<a_2>");
  CHECK(vocab.text(bare.table(language::modality::image).of(item_id{1})) == "<A_1><B_0>");
  put(paths.items(), R"({"2": {"title": "Top", "description": "", "brand": "", "categories": ""}})");
  CHECK(pipeline::read_dataset(directory, vocab).items.at(item_id{2}).title == "Top");
  CHECK_THROWS_AS(pipeline::read_dataset(directory, language::vocabulary({.modalities = {{"a", {2}}, {"A", {2, 2}}}})),
                  file_error);  // has no <a_2>
  std::filesystem::remove(pipeline::index_path(
      paths, language::modality::image));  // one of the two is enough: nothing has a sequence in the other
  CHECK(language::items_with_sequence(pipeline::read_dataset(directory, vocab).table(language::modality::image)) == 0);
  CHECK(pipeline::read_dataset(directory, vocab).table(language::modality::image).items() == 4);
  std::filesystem::remove(pipeline::index_path(paths, language::modality::text));
  CHECK(complaint<file_error>([&] { return pipeline::read_dataset(directory, vocab); }) ==
        pipeline::index_path(paths, language::modality::text).string() +
            ": is missing, and so is Toys.index_vitemb.json, expected at least one of them");
  CHECK_THROWS_AS(pipeline::read_dataset(root / "absent", vocab), file_error);
}
