// Fuzz target: GGUF files from untrusted sources. An input is refused by file_error, in one line, or all its metadata
// and tensors can be read.
//
//     clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Iinclude \
//       tests/fuzz/gguf.cpp -o fuzz_gguf
//     ./fuzz_gguf -runs=1000000 -max_len=4096 corpus
#include <cstdlib>
#include <string_view>

#include "mql4grec/core/gguf.hpp"

namespace {

/// Runs `read`; an error must be one line.
template <class Read>
void expect_one_line(Read&& read) {
  try {
    read();
  } catch (mql4grec::file_error const& e) {
    if (std::string_view(e.what()).find('\n') != std::string_view::npos) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace mql4grec;
  expect_one_line([&] {
    gguf const file(std::as_bytes(std::span(data, size)), "f");
    for (auto const& entry : file.metadata()) {
      auto const as = [&]<class T>(T) { expect_one_line([&] { (void)file.value<T>(entry.first); }); };
      as(index_t{});
      as(double{});
      as(std::vector<index_t>{});
      as(std::vector<std::string>{});
    }
    for (auto const& name : file.names()) expect_one_line([&] { (void)file.values(name); });
  });
  return 0;
}
