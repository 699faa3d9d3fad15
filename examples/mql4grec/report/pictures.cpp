// Pictures of items as data in a style sheet.
#include "pictures.hpp"

#include <string_view>
#include <system_error>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"

namespace mql4grec::program {

namespace {

/// RFC 4648, section 4.
std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::size_t const count = std::min<std::size_t>(3, bytes.size() - i);
    unsigned group = 0;
    for (std::size_t j = 0; j < 3; ++j)
      group = group << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    for (std::size_t j = 0; j < 4; ++j) text += j <= count ? digits[group >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

/// By the first bytes, never by a name from outside; empty for anything else.
std::string media_type(std::string_view content) {
  if (content.starts_with("\x89PNG\r\n")) return "image/png";
  if (content.starts_with("\xff\xd8\xff")) return "image/jpeg";
  if (content.starts_with("RIFF") && content.substr(0, 16).find("WEBP") == 8) return "image/webp";
  return "";
}

}  // namespace

std::string picture_sheet::of(item_id item) {
  auto const at = static_cast<std::size_t>(item);
  if (at >= files_.size() || files_[at].empty() || refused_.contains(item)) return "";
  auto const name = "p" + std::to_string(index(item));
  if (used_.insert(item).second) {
    constexpr std::uintmax_t most_bytes = 256 << 10;
    std::error_code failure;
    auto const bytes = std::filesystem::file_size(files_[at], failure);
    std::string content;
    try {
      if (!failure && bytes <= most_bytes) content = read_file(files_[at]);
    } catch (file_error const&) {  // a page without this picture is better than none
    }
    auto const type = media_type(content);
    if (type.empty()) {
      refused_.insert(item);
      return "";
    }
    style_ += "." + name + "{background-image:url(data:" + type + ";base64," + base64(content) + ")}\n";
  }
  return "<i class=\"picture " + name + "\"></i>";
}

}  // namespace mql4grec::program
