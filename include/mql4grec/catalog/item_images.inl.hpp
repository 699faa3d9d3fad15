#pragma once
// The definitions of catalog/item_images.hpp.
#include <algorithm>
#include <array>
#include <compare>
#include <limits>
#include <optional>
#include <string_view>
#include <system_error>
#include <unordered_map>

#include "mql4grec/catalog/item_images.hpp"
#include "mql4grec/core/detail/whole_number.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::catalog {

namespace detail {

/// The rank of an extension among those of pictures, or nothing.
MQL4GREC_DEFINITION std::optional<int> picture_rank(std::string extension) {
  for (char& c : extension)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  constexpr std::array<std::string_view, 4> known = {".jpg", ".jpeg", ".png", ".webp"};
  auto const found = std::find(known.begin(), known.end(), extension);
  return found == known.end() ? std::nullopt : std::optional(static_cast<int>(found - known.begin()));
}

/// The paths in a directory, in alphabetical order.
MQL4GREC_DEFINITION std::vector<std::filesystem::path> sorted_entries(std::filesystem::path const& directory) {
  std::vector<std::filesystem::path> paths;
  std::error_code code;
  std::filesystem::directory_iterator entries(directory, code);
  for (; !code && entries != std::filesystem::directory_iterator(); entries.increment(code))
    paths.push_back(entries->path());
  expects_file(!code, directory, "can't be read as a directory of pictures: ", code.message());
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace detail

MQL4GREC_DEFINITION image_files match_images(std::filesystem::path const& directory, item_names const& names) {
  auto const& raw_ids = names.raw_ids;
  auto const items = to_size(names.items);
  expects(raw_ids.size() <= items, "pictures of ", items, " items with ", raw_ids.size(), " raw ids");
  std::unordered_map<std::string_view, std::size_t> number_of;
  for (std::size_t i = 0; i < raw_ids.size(); ++i) number_of.emplace(raw_ids[i], i);
  auto const item_of = [&](std::string const& stem) -> std::optional<std::size_t> {
    if (auto const found = number_of.find(stem); found != number_of.end()) return found->second;
    auto const number = core::detail::whole_number(stem, names.items);
    bool const plain = number && std::to_string(*number) == stem;  // without zeros before it
    return plain ? std::optional(to_size(*number)) : std::nullopt;
  };
  image_files images{.of_item = std::vector<std::filesystem::path>(items)};
  struct choice {
    bool by_number = true;
    int rank = std::numeric_limits<int>::max();
    auto operator<=>(choice const&) const = default;
  };
  std::vector<choice> chosen(items);
  for (auto const& path : detail::sorted_entries(directory)) {
    auto const rank = detail::picture_rank(path.extension().string());
    if (!rank) continue;
    auto const stem = path.stem().string();
    auto const item = item_of(stem);
    if (!item) {
      if (images.unmatched++ == 0) images.first_unmatched = path.filename().string();
      continue;
    }
    choice const candidate{.by_number = !number_of.contains(stem), .rank = *rank};
    images.found += images.of_item[*item].empty();
    if (images.of_item[*item].empty() || candidate < chosen[*item]) {
      images.of_item[*item] = path;
      chosen[*item] = candidate;
    }
  }
  return images;
}

}  // namespace mql4grec::catalog
