// Fuzz target: images from untrusted files, decoded and preprocessed. An input is refused by file_error, in one line,
// or becomes an image of the size that it states.
//
//     clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Iinclude \
//       tests/fuzz/images.cpp -o fuzz_images -ljpeg -lpng -lwebp -lwebpdemux
//     ./fuzz_images -runs=1000000 -max_len=4096 corpus tests/golden/images
#include <cstdlib>
#include <string_view>
#include <vector>

#include "mql4grec/embed/image/decode.hpp"
#include "mql4grec/embed/image/preprocess.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace mql4grec;
  static std::filesystem::path const name = "f";
  static embed::image_limits const limits{.most_bytes = 1 << 16, .most_pixels = 1 << 14, .most_scans = 20};
  static embed::image_preprocessing const how{.shortest_edge = 9, .crop = {8, 8}};
  static std::vector<float> values(to_size(how.values()));
  try {
    auto const image = embed::decode_image(std::as_bytes(std::span(data, size)), name, limits);
    if (std::ssize(image.pixels) != 3 * image.size.width * image.size.height) std::abort();
    embed::preprocess_image(image, how, view_of(std::span(values)));
  } catch (file_error const& e) {
    if (std::string_view(e.what()).find('\n') != std::string_view::npos) std::abort();
  }
  return 0;
}
