// Fuzz target: packed interactions and JSON lines from untrusted sources. An input is refused by file_error, in one
// line, or everything in it can be read. Checksums are made right first, so that what they protect is reached.
//
//     clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Iinclude \
//       tests/fuzz/interactions.cpp -o fuzz_interactions
//     ./fuzz_interactions -runs=1000000 -max_len=4096 corpus
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <string_view>

#include "check.hpp"
#include "mql4grec/catalog/interaction_files.hpp"

namespace {

using namespace mql4grec;
using namespace mql4grec::test;

/// A file in memory with this content.
class memory_file {
 public:
  explicit memory_file(std::string_view content) : descriptor_(::memfd_create("fuzz", 0)) {
    require(descriptor_ >= 0 && ::write(descriptor_, content.data(), content.size()) == std::ssize(content));
  }
  memory_file(memory_file const&) = delete;
  memory_file& operator=(memory_file const&) = delete;
  ~memory_file() { ::close(descriptor_); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

void read_packed(std::string_view content) {
  memory_file const file(content);
  expect_one_line<file_error>([&] {
    auto const read = catalog::read_packed_interactions(file.path());
    std::size_t sum = 0;
    for (index_t u = 0; u < read.data.users(); ++u) {
      sum += read.data.user_keys[to_size(u)].size();
      for (auto const item : read.data.of(user_id(u))) require(index(item) >= 0 && index(item) < read.data.item_count);
    }
    require(sum <= content.size());
  });
}

/// Sets the checksums of the sections as far as they are in the content, and that of the header.
std::string with_right_sums(std::string content) {
  if (content.size() < 128) return content;
  catalog::detail::packed_sections begin;
  std::memcpy(&begin, content.data(), sizeof begin);
  catalog::detail::packed_header header(begin);
  bool const small = header.users >= 0 && header.users < 4096 && header.interactions >= 0 &&
                     header.interactions < 4096 && header.key_bytes >= 0 && header.key_bytes < 4096;
  catalog::detail::packed_layout const at(small ? header : catalog::detail::packed_header{});
  if (small && at.end <= std::ssize(content)) {
    auto const sum = [&](index_t first, index_t end) {
      auto const bytes = std::as_bytes(std::span(content)).subspan(to_size(first), to_size(end - first));
      return core::detail::section_checksum(bytes, [](auto) {});
    };
    header.sums = {sum(at.items, at.items + header.interactions * 4), sum(at.times, at.offsets),
                   sum(at.offsets, at.key_offsets), sum(at.key_offsets, at.keys), sum(at.keys, at.end)};
  }
  begin.sums = header.sums;
  begin.header_sum = begin.right_sum();
  std::memcpy(content.data(), &begin, sizeof begin);
  return content;
}

void read_lines(std::string_view content) {
  memory_file const file(content);
  expect_one_line<file_error>([&] {
    catalog::detail::line_users users({file.path()});
    catalog::detail::each_user(users, file.path(), [](catalog::detail::user_record const& user) {
      for (auto const item : user.items) require(index(item) >= 0);
    });
  });
  expect_one_line<file_error>([&] {
    catalog::detail::object_users users(file.path(), std::nullopt);
    catalog::detail::each_user(users, file.path(), [](auto const&) {});
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  std::string_view const content(reinterpret_cast<char const*>(data), size);
  read_packed(content);
  read_packed(with_right_sums(std::string(content)));
  read_lines(content);
  return 0;
}
