// Fuzz target: images from untrusted files, decoded and preprocessed. An input is refused by file_error, in one line,
// or becomes an image of the size that it states.
//
//     clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Iinclude \
//       tests/fuzz/images.cpp -o fuzz_images -ljpeg -lpng -lwebp -lwebpdemux
//     ./fuzz_images -runs=1000000 -max_len=2048 corpus tests/golden/images
#include <vector>

#include "check.hpp"
#include "mql4grec/embed/image/decode.hpp"
#include "mql4grec/embed/image/preprocess.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

/// Gives the chunks of a PNG file their right checksums, so that mutations get past them.
inline void repair_checksums(std::span<std::uint8_t> file) {
  auto const big_endian = [&](std::size_t at) {
    std::uint32_t n = 0;
    for (std::size_t i = 0; i < 4; ++i) n = n << 8 | file[at + i];
    return n;
  };
  for (std::size_t at = 8; at + 12 <= file.size();) {
    std::size_t const length = big_endian(at);
    if (length > file.size() - at - 12) return;
    std::uint32_t crc = ~0u;
    for (auto const byte : file.subspan(at + 4, length + 4)) {
      crc ^= byte;
      for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
    }
    for (std::size_t i = 0; i < 4; ++i) file[at + 8 + length + i] = static_cast<std::uint8_t>(~crc >> (24 - 8 * i));
    at += length + 12;
  }
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  bool const repairs = seed % 8 != 0;  // wrong checksums are tried, too
  if (repairs && size > 8 && data[0] == 0x89 && data[1] == 'P') repair_checksums({data, size});
  return size;
}

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace mql4grec;
  static std::filesystem::path const name = "f";
  static embed::image_limits const limits{.most_bytes = 1 << 16, .most_pixels = 1 << 14, .most_scans = 20};
  static embed::image_preprocessing const how{.shortest_edge = 9, .crop = {8, 8}};
  static std::vector<float> values(to_size(how.values()));
  test::expect_one_line<file_error>([&] {
    auto const image = embed::decode_image(std::as_bytes(std::span(data, size)), name, limits);
    test::require(std::ssize(image.pixels) == 3 * image.size.width * image.size.height);
    embed::preprocess_image(image, how, view_of(std::span(values)));
  });
  return 0;
}
