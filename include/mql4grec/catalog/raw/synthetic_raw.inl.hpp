#pragma once
// The definitions of catalog/raw/synthetic_raw.hpp.
#if !__has_include(<zlib.h>)
#error "mql4grec writes gzip files with zlib: install it (Debian: zlib1g-dev), or include no header of catalog/raw"
#endif
#include <zlib.h>

#include "mql4grec/core/macros.hpp"
#if MQL4GREC_HAS_IMAGES
#include <png.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mql4grec/catalog/raw/detail/synthetic_picture.hpp"
#include "mql4grec/catalog/raw/synthetic_raw.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"

namespace mql4grec::catalog {

namespace detail {

/// A number as ids of the shop look: "B030000012" is item 12 of dataset 3.
MQL4GREC_DEFINITION std::string synthetic_raw_id(char letter, index_t dataset_number, index_t number,
                                                 std::size_t width) {
  auto const padded = [](index_t n, std::size_t digits) {
    auto const text = std::to_string(n);
    return std::string(digits - std::min(digits, text.size()), '0') + text;
  };
  return letter + padded(dataset_number, 2) + padded(number, width - 3);
}

MQL4GREC_DEFINITION std::string synthetic_raw_item(index_t dataset_number, item_id item) {
  return synthetic_raw_id('B', dataset_number, index(item), 10);
}

/// The ratings as CSV, by item. Every fiftieth is followed by a later one of the same user and item.
MQL4GREC_DEFINITION std::string synthetic_ratings(interactions const& data, synthetic_raw_options const& options) {
  std::vector<std::string> of_item(to_size(data.item_count));
  index_t count = 0;
  for (index_t u = 0; u < data.users(); ++u) {
    auto random = synthetic_random(options.catalog.seed, synthetic_stream::times, options.dataset_number, u);
    auto const user = synthetic_raw_id('A', options.dataset_number, u, 14);
    index_t time = 1'400'000'000 + random.below(86'400 * 700);
    for (auto const item : data.of(user_id(u))) {
      time += 3600 + random.below(86'400 * 20);
      auto const rating = std::to_string(3 + random.below(3)) + ".0,";
      auto const begin = synthetic_raw_item(options.dataset_number, item) + "," + user + "," + rating;
      auto& rows = of_item[to_size(index(item))];
      rows += begin + std::to_string(time) + "\n";
      if (count++ % 50 == 49) rows += begin + std::to_string(time + 86'400 * 300) + "\n";
    }
  }
  std::string csv;
  for (auto const& rows : of_item) csv += rows;
  return csv;
}

/// The text as pages of shops contain it: clean_text() gives the text back.
MQL4GREC_DEFINITION std::string with_entities(std::string_view text) {
  std::string html;
  bool wide = false;
  for (char const c : text) {
    if (c == ' ')
      html += std::exchange(wide, !wide) ? " " : "&nbsp;";
    else if (c == ',')
      html += "&#44;";
    else
      html += c;
  }
  return html;
}

MQL4GREC_DEFINITION std::string synthetic_metadata(item_descriptions const& items, index_t dataset_number) {
  std::string lines;
  for (auto const& [item, text] : items) {
    auto const middle = std::min(text.description.find(" made of"), text.description.size());
    auto const& categories = text.categories;
    json const line = {
        {"asin", synthetic_raw_item(dataset_number, item)},
        {"title", "<b>" + with_entities(text.title) + "</b>"},
        {"description",
         {"<p>" + with_entities(text.description.substr(0, middle)) + "<br/>",
          with_entities(text.description.substr(middle)) + "</p><!-- made up -->"}},
        {"brand", "by\n" + with_entities(text.brand)},
        {"category",
         {categories.substr(0, categories.find(',')), categories.substr(categories.find(',') + 1), "</span></span>"}}};
    lines += line.dump() + "\n";
  }
  return lines;
}

MQL4GREC_DEFINITION std::string gzip_of(std::string const& text) {
  ::z_stream stream = {};
  expects(::deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK,
          "zlib can't be started");  // 16: gzip
  std::string packed(::deflateBound(&stream, static_cast<uLong>(text.size())), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  int const status = ::deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  ::deflateEnd(&stream);
  expects(status == Z_STREAM_END, "zlib can't compress ", text.size(), " bytes");
  return packed;
}

/// A PNG file of (size, size, 3) pixels.
MQL4GREC_DEFINITION std::string png_of([[maybe_unused]] std::vector<unsigned char> const& pixels,
                                       [[maybe_unused]] index_t size) {
#if MQL4GREC_HAS_IMAGES
  ::png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = image.height = static_cast<png_uint_32>(size);
  image.format = PNG_FORMAT_RGB;
  std::string file(PNG_IMAGE_PNG_SIZE_MAX(image), '\0');
  ::png_alloc_size_t bytes = file.size();
  expects(::png_image_write_to_memory(&image, file.data(), &bytes, 0, pixels.data(), 0, nullptr) != 0,
          "libpng can't write a picture: ", image.message);
  file.resize(bytes);
  return file;
#else
  raise("pictures need libpng, which this program was built without (MQL4GREC_IMAGES)");
#endif
}

/// Pictures can be made again, so they are not synced to the disk one by one, which would take seconds.
MQL4GREC_DEFINITION void write_picture(std::filesystem::path const& path, std::string const& content) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << content << std::flush;
  expects_file(out.good(), path, "can't be written: ", std::strerror(errno));
}

}  // namespace detail

MQL4GREC_DEFINITION raw_files write_synthetic_raw(std::filesystem::path const& directory,
                                                  synthetic_raw_options const& options) {
  auto const [shop, size] = std::pair(options.dataset_number, options.picture_size);
  expects(size >= 8 && size <= 4096, "pictures of ", size, " pixels, expected 8 to 4096");
  auto const data = make_synthetic_dataset(options.catalog, shop);
  raw_files const files{.ratings = directory / (data.name + ".csv"),
                        .metadata = directory / ("meta_" + data.name + ".json.gz"),
                        .images = directory / "pictures"};
  make_directory(files.images);
  write_file(files.ratings, detail::synthetic_ratings(data.interactions, options));
  write_file(files.metadata, detail::gzip_of(detail::synthetic_metadata(data.items, shop)));
  auto const items = detail::make_latent_items(options.catalog.seed, shop, options.catalog.items);
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (data.codes[1](i, 0) < code_t{0}) continue;  // an item without an image
    auto const random = detail::synthetic_random(options.catalog.seed, detail::synthetic_stream::pictures, shop,
                                                 static_cast<index_t>(i));
    detail::write_picture(files.images / (detail::synthetic_raw_item(shop, item_id(i)) + ".png"),
                          detail::png_of(detail::draw_item(items[i], shop, random, size), size));
  }
  return files;
}

}  // namespace mql4grec::catalog
