// The recipe of docs/cookbook.md on tokens of texts.
#include "mql4grec/core/macros.hpp"

#if MQL4GREC_HAS_UTF8PROC
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "mql4grec/embed/encoder/item_encoder.hpp"
#include "mql4grec/embed/tokenizer/read_tokenizer.hpp"

using namespace mql4grec;

TEST_CASE("cookbook: tokens of texts") {
  auto const checkpoint = std::filesystem::path(MQL4GREC_TEST_GOLDEN_DIR) / "tokenizers/wordpiece_uncased";
  std::vector<std::string> const titles{"Acoustic guitar strings, light gauge", "Guitar"};
  // example-begin tokenizer
  auto const tokenizer = embed::read_tokenizer(checkpoint);  // a directory, or a GGUF file
  embed::token_batch batch;
  for (auto const& title : titles) batch.add(tokenizer.encode(title, 6));  // at most 6, with [CLS] and [SEP]
  auto const all = tokenizer.encode(titles[0]);
  auto const bare = tokenizer.encode(titles[0], {.specials = embed::special_tokens::omit});
  // example-end tokenizer
  CHECK(batch.size() == 2);
  CHECK(batch.offsets[1] == 6);
  CHECK(batch.tokens[0] == all.front());
  CHECK(batch.tokens[5] == all.back());
  CHECK(all.size() == bare.size() + 2);
}
#endif
