// Fuzz target: GGUF files from untrusted sources. An input is refused by file_error, in one line, or all its metadata
// and tensors can be read.
//
//     clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Iinclude \
//       tests/fuzz/gguf.cpp -o fuzz_gguf
//     ./fuzz_gguf -runs=1000000 -max_len=4096 corpus
#include "mql4grec/core/gguf.hpp"
#include "check.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace mql4grec;
  using test::expect_one_line;
  expect_one_line<file_error>([&] {
    gguf const file(std::as_bytes(std::span(data, size)), "f");
    for (auto const& entry : file.metadata()) {
      auto const as = [&]<class T>(T) { expect_one_line<file_error>([&] { (void)file.value<T>(entry.first); }); };
      as(index_t{});
      as(double{});
      as(std::vector<index_t>{});
      as(std::vector<std::string>{});
    }
    for (auto const& name : file.names()) expect_one_line<file_error>([&] { (void)file.values(name); });
  });
  return 0;
}
