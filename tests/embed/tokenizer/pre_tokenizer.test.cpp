#include "mql4grec/embed/tokenizer/pre_tokenizer.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "mql4grec/embed/tokenizer/detail/unicode.hpp"

using namespace mql4grec;
using embed::pre_tokenizer;

namespace {

std::vector<std::string> parts(pre_tokenizer rule, std::u32string_view text) {
  std::vector<std::string> all;
  for (auto const [begin, end] : embed::split(rule, text))
    all.push_back(embed::detail::encode_utf8(text.substr(begin, end - begin)));
  return all;
}

using strings = std::vector<std::string>;

}  // namespace

TEST_CASE("pre_tokenizer: gpt2 keeps a space with the word that follows") {
  CHECK(parts(pre_tokenizer::gpt2, U"it's  12 ok?!\n\n x") ==
        strings{"it", "'s", " ", " 12", " ok", "?!", "\n\n", " x"});
  CHECK(parts(pre_tokenizer::gpt2, U"IT'S").size() == 3);
}

TEST_CASE("pre_tokenizer: smollm has every digit alone") {
  CHECK(parts(pre_tokenizer::smollm, U"a 12b  3 ") == strings{"a", " ", "1", "2", "b", "  ", "3", " "});
}

TEST_CASE("pre_tokenizer: llama3 groups three digits, folds case and keeps line breaks with punctuation") {
  CHECK(parts(pre_tokenizer::llama3, U"IT'S 12345;\n\n\tx  \n  y") ==
        strings{"IT", "'S", " ", "123", "45", ";\n\n", "\tx", "  \n", " ", " y"});
  CHECK(parts(pre_tokenizer::qwen2, U"x123") == strings{"x", "1", "2", "3"});
}

TEST_CASE("pre_tokenizer: the ranges cover any text in order") {
  std::mt19937 random(1);
  std::u32string const alphabet = U"aZé1²'sS lre\r\n\t !?#\u0301\u3000中\U0001F3B8";
  for (int trial = 0; trial < 2000; ++trial) {
    std::u32string text(random() % 30, U' ');
    for (auto& c : text) c = alphabet[random() % alphabet.size()];
    for (auto const rule : {pre_tokenizer::gpt2, pre_tokenizer::smollm, pre_tokenizer::llama3, pre_tokenizer::qwen2}) {
      std::size_t next = 0;
      for (auto const [begin, end] : embed::split(rule, text)) {
        REQUIRE(begin == next);
        REQUIRE(end > begin);
        next = end;
      }
      REQUIRE(next == text.size());
    }
  }
}
