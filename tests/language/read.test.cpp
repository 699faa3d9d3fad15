#include "mql4grec/language/read.hpp"

#include <doctest/doctest.h>

#include "catalog/scratch.hpp"
#include "mql4grec/catalog/dataset_paths.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/pipeline/dataset.hpp"
#include "support/data.hpp"
#include "support/hostile_files.hpp"

using namespace mql4grec;
using test::complaint_of;
using test::has;
using test::scratch;

namespace {
/// Writes added_tokens.json, as a tokenizer of Hugging Face does.
void write_vocabulary(std::filesystem::path const& directory, language::vocabulary const& vocab) {
  json ids = json::object();
  for (index_t i = 0; i < vocab.size(); ++i)
    if (vocab.has_text(token_t(i))) ids[vocab.text(token_t(i))] = i;
  write_json(directory / "added_tokens.json", ids);
}
}  // namespace

TEST_CASE("token_table: a round trip preserves everything, including gaps") {
  scratch const here;
  language::vocabulary const vocab({.modalities = {{"a", {4, 4}}}, .prompts = 0});
  auto const path = here.file(R"({"2": ["<a_3>", "<b_0>"], "0": ["<a_1>", "<b_2>"]})");
  auto const table = language::read_token_table(path, vocab, language::modality::text, 4);
  CHECK(table.items() == 4);
  CHECK(vocab.text(table.of(item_id{0})) == "<a_1><b_2>");
  CHECK(!table.has(item_id{1}));
  language::write_token_table(here / "again.json", table, vocab);
  CHECK(language::read_token_table(here / "again.json", vocab, language::modality::text, 4) == table);
}

TEST_CASE("read_token_table: an error message contains the file, the item and the position") {
  scratch const here;
  language::vocabulary const vocab;
  auto const error_message = [&](std::string_view content) {
    return complaint_of(
        [&] { return language::read_token_table(here.file(content, "bad.json"), vocab, language::modality::text, 3); });
  };
  CHECK(has(error_message(""), "bad.json: is empty"));
  CHECK(has(error_message("[]"), "found a array"));
  CHECK(has(error_message("{"), "not valid JSON"));
  CHECK(has(error_message(R"({"x": []})"), "key 'x': expected an item number"));
  CHECK(has(error_message(R"({"3": []})"), "item 3 is beyond the 3 items"));
  CHECK(has(error_message(R"({"99999999999999999999": []})"), "expected an item number"));
  CHECK(has(error_message(R"({"1": "<a_1>"})"), "item 1: expected a list of 4 tokens, found a string"));
  CHECK(has(error_message(R"({"1": ["<a_1>", "<b_1>", "<c_1>"]})"), "item 1 has 3 tokens, expected 4"));
  CHECK(has(error_message(R"({"1": ["<a_1>", 5, "<c_1>", "<d_1>"]})"), "item 1, place 1: expected a token"));
  CHECK(has(error_message(R"({"1": ["<a_1>", "<b_256>", "<c_1>", "<d_1>"]})"),
            "place 1: '<b_256>' is not in the vocabulary, expected <b_0> to <b_255>"));
  CHECK(has(error_message(R"({"1": ["<a_1>", "<b\n_1>", "<c_1>", "<d_1>"]})"), "place 1: '<b?_1>' is not in"));
  CHECK(has(error_message(R"({"1": ["<a_1>", "<c_1>", "<b_1>", "<d_1>"]})"), "place 1: '<c_1>' does not belong there"));
  CHECK(has(error_message(R"({"1": ["<A_1>", "<B_1>", "<C_1>", "<D_1>"]})"),
            "place 0: '<A_1>' does not belong there, expected <a_0> to <a_255>"));
  CHECK(has(error_message(R"({"1": ["</s>", "<b_1>", "<c_1>", "<d_1>"]})"), "place 0: '</s>' does not belong there"));
  CHECK(has(error_message(R"({"1": ["<a_1>", "<b_1>", "<c_1>", "<d_1>"], "01": ["<a_1>", "<b_1>", "<c_1>", "<d_1>"]})"),
            "item 1 appears twice"));
  CHECK(has(error_message(R"({"1": ["<a_0>", "<b_0>", "<c_0>", "<d_0>"], "1": ["<a_9>", "<b_9>", "<c_9>", "<d_9>"]})"),
            "bad.json: key '1' appears twice"));
}

TEST_CASE("read_token_table: the fast reader and the general parser read the same and refuse the same") {
  language::vocabulary const vocab({.modalities = {{"a", {12, 12}}, {"A", {2}}}, .prompts = 1});
  std::string const text = R"({"2": ["<a_3>", "<b_0>"],"10":["<a_1>" ,"<b_11>"], "0":["<a_10>","<b_2>"]})";
  auto const read = [&](std::filesystem::path const& path) {
    return language::read_token_table(path, vocab, language::modality::text, 20);
  };
  CHECK(test::check_fast_reader(text, read) > 200);
}

TEST_CASE("read_token_table: without a number of items the largest item determines the size") {
  scratch const here;
  language::vocabulary const vocab({.modalities = {{"a", {4}}}, .prompts = 0});
  auto const table = language::read_token_table(
      here.file(R"({"2147483646": ["<a_3>"], "10": ["<a_0>"], "9": ["<a_1>"]})"), vocab, language::modality::text);
  CHECK(table.items() == 2147483647);
  CHECK(std::ranges::equal(table.present(), std::vector{item_id{9}, item_id{10}, item_id{2147483646}}));
  CHECK(vocab.text(table.of(item_id{2147483646})) == "<a_3>");
  CHECK(table.tokens().size() == 3);
  CHECK(language::read_token_table(here.file("{}"), vocab, language::modality::text).items() == 0);
  CHECK(has(complaint_of([&] {
              return language::read_token_table(here.file(R"({"2147483647": ["<a_3>"]})"), vocab,
                                                language::modality::text);
            }),
            "key '2147483647': expected an item number"));
}

TEST_CASE("read_vocabulary: modalities, prompts and ids come from a tokenizer's files") {
  scratch const here;
  here.file(R"({"<extra_id_0>": 99, "<A_1>": 10, "<A_0>": 11, "<B_0>": 12, "<a_0>": 20, "<a_1>": 5, "<a_2>": 22,
                "<*_0>": 30, "<*_1>": 31})",
            "added_tokens.json");
  auto const vocab = language::read_vocabulary(here.path());
  CHECK(vocab.options() == language::vocabulary_options{.modalities = {{"a", {3}}, {"A", {2, 1}}}, .prompts = 2});
  CHECK(vocab.size() == 32);
  CHECK(vocab.token(language::modality::text, 0, code_t{1}) == token_t{5});
  CHECK(vocab.token(language::modality::image, 1, code_t{0}) == token_t{12});
  CHECK(vocab.prompt(1) == token_t{31});
  CHECK(!vocab.has_text(token_t{7}));
  CHECK_THROWS_AS(vocab.text(token_t{7}), error);
}

TEST_CASE("read_vocabulary: tokenizer.json and added_tokens.json give the same result") {
  scratch const one, two;
  one.file(R"({"<a_0>": 32100, "<a_1>": 32101})", "added_tokens.json");
  two.file(R"({"version": "1.0", "added_tokens": [{"id": 0, "content": "<pad>"}, {"id": 1, "content": "</s>"},
               {"id": 32101, "content": "<a_1>", "special": false}, {"id": 32100, "content": "<a_0>"}]})",
           "tokenizer.json");
  CHECK(language::read_vocabulary(one.path()) == language::read_vocabulary(two.path()));
}

TEST_CASE("read_vocabulary: a written vocabulary is read back equal, whatever its ids and modalities") {
  for (auto const& options :
       {language::vocabulary_options{}, language::vocabulary_options{.modalities = {{"a", {3, 5}}}, .prompts = 0},
        language::vocabulary_options{.modalities = {{"a", {2}}, {"A", {2, 2}}, {"audio_a", {4, 1}}}}}) {
    scratch const here;
    write_vocabulary(here.path(), language::vocabulary(options));
    CHECK(language::read_vocabulary(here.path()) == language::vocabulary(options));
  }
  scratch const here, again;
  here.file(R"({"<a_0>": 7, "<a_1>": 3})", "added_tokens.json");
  write_vocabulary(again.path(), language::read_vocabulary(here.path()));
  CHECK(language::read_vocabulary(again.path()) == language::read_vocabulary(here.path()));
}

TEST_CASE(
    "read_vocabulary: a tokenizer may lack tokens of every level, and an item that needs one is refused by name") {
  scratch const here, again;
  here.file(R"({"<a_1>": 2, "<a_3>": 3, "<b_0>": 4, "<b_1>": 5, "<A_0>": 6, "<*_2>": 7})", "added_tokens.json");
  auto const vocab = language::read_vocabulary(here.path());
  CHECK(vocab.options() == language::vocabulary_options{.modalities = {{"a", {4, 2}}, {"A", {1}}}, .prompts = 3});
  CHECK(vocab.token(language::modality::text, 0, code_t{3}) == token_t{3});
  CHECK(has(complaint_of([&] { return vocab.token(language::modality::text, 0, code_t{2}); }),
            "the token <a_2> has no id"));
  CHECK(has(complaint_of([&] { return vocab.prompt(1); }), "the token <*_1> has no id"));
  CHECK(vocab.prompt(2) == token_t{7});
  CHECK(has(complaint_of([&] {
              return language::read_token_table(here.file(R"({"8": ["<a_0>", "<b_1>"]})"), vocab,
                                                language::modality::text);
            }),
            "item 8, place 0: '<a_0>' is not in the vocabulary, expected <a_0> to <a_3>"));
  CHECK(language::items_with_sequence(language::read_token_table(here.file(R"({"8": ["<a_1>", "<b_1>"]})"), vocab,
                                                                 language::modality::text)) == 1);
  write_vocabulary(again.path(), vocab);
  CHECK(language::read_vocabulary(again.path()) == vocab);
}

TEST_CASE("read_vocabulary: one of the two modalities is enough") {
  scratch const text, images;
  text.file(R"({"<a_0>": 2, "<b_0>": 3})", "added_tokens.json");
  images.file(R"({"<A_0>": 2, "<B_0>": 3})", "added_tokens.json");
  CHECK(language::read_vocabulary(text.path()).has(language::modality::text));
  CHECK(!language::read_vocabulary(text.path()).has(language::modality::image));
  auto const vocab = language::read_vocabulary(images.path());
  CHECK(!vocab.has(language::modality::text));
  CHECK(vocab.has(language::modality::image));
  CHECK(vocab.token(language::modality::image, 1, code_t{0}) == token_t{3});
}

TEST_CASE("read_vocabulary: an unusable directory is refused with the reason") {
  auto const error_message = [](std::string_view content) {
    scratch const here;
    here.file(content, "added_tokens.json");
    return complaint_of([&] { return language::read_vocabulary(here.path()); });
  };
  CHECK(has(complaint_of([] { return language::read_vocabulary(scratch().path()); }),
            "holds neither added_tokens.json nor"));
  CHECK(has(error_message("{}"), "holds no tokens like"));
  CHECK(has(error_message(R"({"<a_0>": 5, "<a_1048576>": 6})"),
            "the token <a_1048576>, expected a number less than 1048576"));
  CHECK(has(error_message(R"({"<a_0>": 5, "<a_1>": 5})"), "have the same id 5"));
  CHECK(has(error_message(R"({"<a_0>": 1})"), "have the same id 1"));
  CHECK(has(error_message(R"({"<a_0>": "5"})"), "token '<a_0>': expected an id"));
  CHECK(has(error_message(R"({"<a_0>": 2147483646})"),
            "token '<a_0>': expected an id of 0 or more and less than 16777216, found 2147483646"));
  std::string many = R"({"<a_0>": 2)";
  for (char letter = 'a'; letter <= 'q'; ++letter) many += ", \"<" + std::string(1, letter) + "_1048575>\": 5";
  CHECK(has(error_message(many + "}"), "add up to 17825792, expected less than 16777216"));
  CHECK(has(error_message(R"({"<pad>": 3, "<a_0>": 5})"), "token <pad> must have the id 0"));
}

TEST_CASE("published indices: are read, and only the original text index has duplicate items") {
  auto const directory = test::real_dataset("Instruments");
  if (!directory) return;
  catalog::dataset_paths const paths(*directory);
  language::vocabulary const vocab;
  auto const text = language::read_token_table(pipeline::index_path(paths, language::modality::text), vocab,
                                               language::modality::text, 6250);
  auto const image = language::read_token_table(pipeline::index_path(paths, language::modality::image), vocab,
                                                language::modality::image, 6250);
  auto const published =
      language::read_token_table(paths.index("lemb.published"), vocab, language::modality::text, 6250);
  CHECK(language::items_with_sequence(text) == 6250);
  CHECK(language::duplicate_items(text) == 0);
  CHECK(language::duplicate_items(image) == 0);
  CHECK(language::duplicate_items(published) == 262);
  CHECK(vocab.text(text.of(item_id{0})) == "<a_170><b_224><c_251><d_151>");
  CHECK_THROWS_AS(language::read_token_table(pipeline::index_path(paths, language::modality::image), vocab,
                                             language::modality::text, 6250),
                  file_error);
  CHECK_THROWS_AS(language::read_token_table(pipeline::index_path(paths, language::modality::text), vocab,
                                             language::modality::text, 6249),
                  file_error);
}
