// Fuzz target: requests to the service from hostile clients. A body is refused by bad_request, in one line of valid
// UTF-8, or everything that the service asks of it can be read; so are paths and queries. HTTP itself is Boost.Beast's.
//
//     clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Iinclude \
//       -Iexamples/mql4grec tests/fuzz/requests.cpp examples/mql4grec/serve/http_server.cpp -o fuzz_requests
//     ./fuzz_requests -runs=1000000 -max_len=2048 corpus
#include <cstdlib>
#include <string>
#include <string_view>

#include "serve/http_server.hpp"
#include "serve/request_body.hpp"

namespace {

using namespace mql4grec;
using namespace mql4grec::program;

/// Runs `read`; an error must be one line, and valid UTF-8 once it is sent.
template <class Read>
void expect_one_line(Read&& read) {
  try {
    read();
  } catch (bad_request const& e) {
    if (std::string_view(e.what()).find('\n') != std::string_view::npos) std::abort();
    static_cast<void>(json(e.what()).dump(-1, ' ', false, json::error_handler_t::replace));
  }
}

void read_body(std::string const& text) {
  request_body body(text);
  for (auto const* name : {"history", "allow", "deny"})
    expect_one_line([&] {
      for (auto const& value : body.list(name, 100)) static_cast<void>(request_body::shown(value));
    });
  expect_one_line([&] {
    auto const k = body.integer("k", 1, 4096, 10);
    if (k < 1 || k > 4096) std::abort();
  });
  expect_one_line([&] {
    auto const ms = body.number("deadline_ms", 0, 600'000, 0);
    if (!(ms >= 0 && ms <= 600'000)) std::abort();
  });
  expect_one_line([&] { static_cast<void>(body.boolean("lists", false)); });
  expect_one_line([&] { static_cast<void>(body.text("title")); });
  body.check_all_known();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  std::string const text(reinterpret_cast<char const*>(data), size);
  expect_one_line([&] { read_body(text); });
  expect_one_line([&] { static_cast<void>(decoded_percent(text)); });
  expect_one_line([&] { static_cast<void>(query_parameter(text, "query")); });
  return 0;
}
