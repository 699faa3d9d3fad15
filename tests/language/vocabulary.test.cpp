#include "mql4grec/language/vocabulary.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "catalog/scratch.hpp"
#include "mql4grec/language/to_tokens.hpp"
#include "mql4grec/language/token_table.hpp"

using namespace mql4grec;
using test::complaint_of;
using test::has;

TEST_CASE("vocabulary: the default is the paper's, 2·L·K + 20 tokens in the paper's order") {
  language::vocabulary const vocab;
  CHECK(vocab.size() == 2 * 4 * 256 + 20);
  CHECK(vocab.text(language::vocabulary::pad) == "<pad>");
  CHECK(vocab.text(language::vocabulary::eos) == "</s>");
  CHECK(vocab.parse("<a_0>") == token_t{2});
  CHECK(vocab.parse("<d_255>") == token_t{2 + 1023});
  CHECK(vocab.parse("<A_0>") == token_t{2 + 1024});
  CHECK(vocab.parse("<*_0>") == token_t{2 + 2048});
  CHECK(vocab.prompt(17) == token_t{2 + 2048 + 17});
  CHECK(vocab.token(language::modality::image, 2, code_t{7}) == vocab.parse("<C_7>"));
}

TEST_CASE("vocabulary: id and text, and id and position, are inverse for every token") {
  language::vocabulary const vocab({.modalities = {{"a", {3, 5}}, {"A", {2}}, {"audio_a", {4, 1, 2}}}, .prompts = 2});
  CHECK(vocab.size() == 2 + 8 + 2 + 7 + 2);
  std::set<std::string> texts;
  index_t places = 0;
  for (index_t i = 0; i < vocab.size(); ++i) {
    auto const& text = vocab.text(token_t(i));
    texts.insert(text);
    CHECK(vocab.parse(text) == token_t(i));
    auto const place = vocab.place(token_t(i));
    if (!place) continue;
    ++places;
    CHECK(vocab.token(place->kind, place->level, place->code) == token_t(i));
  }
  CHECK(std::ssize(texts) == vocab.size());
  CHECK(places == 17);
  CHECK(vocab.parse("<audio_c_1>") == vocab.token(language::modality{2}, 2, code_t{1}));
  CHECK(vocab.levels(language::modality{2}) == 3);
  CHECK(vocab.codes(language::modality::text, 1) == 5);
}

TEST_CASE("vocabulary: the text of a sequence is its tokens without separators") {
  language::vocabulary const vocab;
  std::vector const sequence = {vocab.parse("<a_1>"), vocab.parse("<b_2>"), language::vocabulary::eos};
  CHECK(vocab.text(sequence) == "<a_1><b_2></s>");
  CHECK(vocab.text(std::vector<token_t>{}).empty());
}

TEST_CASE("vocabulary: an unknown token is named in the error") {
  language::vocabulary const vocab;
  CHECK(has(complaint_of([&] { return vocab.parse("<a_256>"); }), "'<a_256>' is not a token"));
  CHECK(has(complaint_of([&] { return vocab.token(language::modality::text, 4, code_t{0}); }), "level 4"));
  CHECK(has(complaint_of([&] { return vocab.token(language::modality::text, 0, code_t{256}); }), "code 256"));
  CHECK(has(complaint_of([&] { return vocab.token(language::modality{2}, 0, code_t{0}); }), "modality 2"));
  CHECK(has(complaint_of([&] { return vocab.prompt(18); }), "prompt 18"));
  CHECK(has(complaint_of([&] { return vocab.text(token_t{-1}); }), "token -1"));
  CHECK(has(complaint_of([&] { return vocab.text(token_t(vocab.size())); }), "token 2068"));
  CHECK(!vocab.place(language::vocabulary::pad));
  CHECK(!vocab.place(vocab.prompt(0)));
  CHECK(!vocab.place(token_t{-1}));
  CHECK(!vocab.place(token_t(vocab.size())));
}

TEST_CASE("vocabulary: modalities must not share tokens or overlap in levels") {
  CHECK_THROWS_AS(language::vocabulary({.modalities = {{"a", {4, 4}}, {"b", {4}}}}), error);
  CHECK_THROWS_AS(language::vocabulary({.modalities = {{"a", {4, 4}}, {"c", {4}}}}), error);
  CHECK_THROWS_AS(language::vocabulary({.modalities = {{"", {4}}}}), error);
  CHECK_THROWS_AS(language::vocabulary({.modalities = {{"a", {}}}}), error);
  CHECK_NOTHROW(language::vocabulary({.modalities = {{"a", {4, 4}}, {"d", {4}}}}));
}

TEST_CASE("vocabulary: two are equal when the same tokens have the same ids") {
  CHECK(language::vocabulary() == language::vocabulary());
  CHECK(language::vocabulary({.prompts = 17}) != language::vocabulary());
}

TEST_CASE("token_table: items without a sequence and items beyond the table have none") {
  language::vocabulary const vocab({.modalities = {{"a", {2, 2}}}, .prompts = 0});
  language::token_table table(language::modality::text, 4, 2);
  std::vector const a0b0 = {vocab.parse("<a_0>"), vocab.parse("<b_0>")};
  std::vector const a0b1 = {vocab.parse("<a_0>"), vocab.parse("<b_1>")};
  table.set(item_id{0}, a0b0);
  table.set(item_id{2}, a0b1);
  table.set(item_id{3}, a0b0);
  CHECK(table.has(item_id{0}));
  CHECK(!table.has(item_id{1}));
  CHECK(table.of(item_id{1}).empty());
  CHECK(!table.has(item_id{4}));
  CHECK(!table.has(item_id{-1}));
  CHECK(table.of(item_id{99}).empty());
  CHECK(std::ranges::equal(table.of(item_id{2}), a0b1));
  CHECK(language::items_with_sequence(table) == 3);
  CHECK(language::duplicate_items(table) == 1);
  CHECK_THROWS_AS(table.set(item_id{4}, a0b0), error);
  CHECK_THROWS_AS(table.set(item_id{0}, std::vector{token_t{2}}), error);
  CHECK(language::duplicate_items(language::token_table{}) == 0);
}

TEST_CASE("token_table: is independent of the order of items, and the last sequence of an item counts") {
  language::vocabulary const vocab({.modalities = {{"a", {9}}}, .prompts = 0});
  auto const token = [&](index_t code) { return std::vector{vocab.token(language::modality::text, 0, code_t(code))}; };
  language::token_table forwards(language::modality::text, 1'000'000'000, 1), backwards = forwards;
  for (index_t const i : {0, 1, 3, 999'999'999}) forwards.set(item_id(i), token(i % 9));
  for (index_t const i : {999'999'999, 3, 1, 0}) backwards.set(item_id(i), token((i + 1) % 9));
  CHECK(forwards != backwards);
  for (index_t const i : {3, 0, 999'999'999, 1}) backwards.set(item_id(i), token(i % 9));
  CHECK(forwards == backwards);
  CHECK(std::ranges::equal(forwards.present(), std::vector{item_id{0}, item_id{1}, item_id{3}, item_id{999'999'999}}));
  for (index_t const i : {0, 1, 3, 999'999'999}) CHECK(std::ranges::equal(forwards.of(item_id(i)), token(i % 9)));
  for (index_t const i : {-1, 2, 4, 999'999'998}) CHECK(!forwards.has(item_id(i)));
}

TEST_CASE("to_tokens: codes become the tokens of their level; a row of -1 has no sequence") {
  language::vocabulary const vocab;
  std::vector<code_t> const codes = {code_t{1},  code_t{2},  code_t{3},  code_t{4},
                                     code_t{-1}, code_t{-1}, code_t{-1}, code_t{-1}};
  auto const table =
      language::to_tokens(host_matrix_view<code_t const>(codes.data(), 2, 4), vocab, language::modality::image);
  CHECK(table.kind() == language::modality::image);
  CHECK(vocab.text(table.of(item_id{0})) == "<A_1><B_2><C_3><D_4>");
  CHECK(!table.has(item_id{1}));
  CHECK_THROWS_AS(
      language::to_tokens(host_matrix_view<code_t const>(codes.data(), 4, 2), vocab, language::modality::image), error);
}
