#pragma once
// The definitions of catalog/raw/clean_text.hpp.
#if !__has_include(<gumbo.h>) || !__has_include(<simdjson.h>)
#error \
    "mql4grec cleans texts with gumbo and simdjson: install them (Debian: libgumbo-dev, libsimdjson-dev), or include no header of catalog/raw"
#endif
#include <gumbo.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <string>
#include <unordered_map>

#include "mql4grec/catalog/raw/clean_text.hpp"

namespace mql4grec::catalog {

namespace detail {

MQL4GREC_DEFINITION bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// The text of the first text node below a node, in document order.
MQL4GREC_DEFINITION char const* first_text(GumboNode const& node) {
  if (node.type == GUMBO_NODE_TEXT) return node.v.text.text;
  if (node.type != GUMBO_NODE_ELEMENT && node.type != GUMBO_NODE_DOCUMENT) return nullptr;
  auto const& children = node.type == GUMBO_NODE_ELEMENT ? node.v.element.children : node.v.document.children;
  for (unsigned i = 0; i < children.length; ++i)
    if (auto const* text = first_text(*static_cast<GumboNode const*>(children.data[i]))) return text;
  return nullptr;
}

/// What one reference, `&` and at most 40 letters, digits, `#` and `;`, means in HTML. gumbo sees nothing else of a
/// text, so its time and depth are bounded whatever a file contains.
MQL4GREC_DEFINITION std::string parse_reference(std::string const& reference) {
  auto const html = "x" + reference;  // a lone white space would not be part of the body
  auto* const output = ::gumbo_parse_with_options(&kGumboDefaultOptions, html.data(), html.size());
  auto const* text = first_text(*output->document);
  std::string decoded = text != nullptr ? text + 1 : reference;
  ::gumbo_destroy_output(&kGumboDefaultOptions, output);
  return decoded;
}

/// Whether a reference is a number beyond every character; gumbo computes it in an int, which could overflow.
MQL4GREC_DEFINITION bool is_beyond_unicode(std::string_view reference) {
  if (!reference.starts_with("&#")) return false;
  reference.remove_prefix(2);
  bool const hex = reference.starts_with('x') || reference.starts_with('X');
  if (hex) reference.remove_prefix(1);
  reference.remove_prefix(std::min(reference.find_first_not_of('0'), reference.size()));
  auto const end = reference.find_first_not_of(hex ? "0123456789abcdefABCDEF" : "0123456789");
  return std::min(end, reference.size()) > 7;
}

/// The same, remembered: a catalog uses few different references.
MQL4GREC_DEFINITION std::string const& decode_reference(std::string const& reference) {
  static thread_local std::unordered_map<std::string, std::string> known;
  static std::string const replacement = "\xef\xbf\xbd";
  if (is_beyond_unicode(reference)) return replacement;
  if (known.size() > 4096) known.clear();
  auto const found = known.find(reference);
  return found != known.end() ? found->second : known.emplace(reference, parse_reference(reference)).first->second;
}

MQL4GREC_DEFINITION std::string latin1_to_utf8(std::string_view text) {
  std::string utf8;
  for (char const c : text) {
    auto const byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      utf8 += c;
    } else {
      utf8 += static_cast<char>(0xc0 | byte >> 6);
      utf8 += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return utf8;
}

MQL4GREC_DEFINITION std::string valid_utf8(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size()) ? std::string(text) : latin1_to_utf8(text);
}

/// The name of a tag in lower case: "br" for "<BR/>" and "/br" for "</br>"; empty when `<` begins no tag.
MQL4GREC_DEFINITION std::string tag_name(std::string_view from) {
  std::string name;
  std::size_t at = 1;
  if (from.size() > 1 && from[1] == '/') ++at;
  if (at >= from.size() || !is_letter_or_digit(from[at]) || (from[at] >= '0' && from[at] <= '9')) return name;
  while (at < from.size() && is_letter_or_digit(from[at]) && name.size() < 16)
    name += static_cast<char>(from[at] >= 'A' && from[at] <= 'Z' ? from[at] + 32 : from[at]), ++at;
  return from[1] == '/' ? "/" + name : name;
}

MQL4GREC_DEFINITION bool breaks_line(std::string_view name) {
  constexpr std::array<std::string_view, 29> names = {
      "article", "blockquote", "br",    "center", "dd", "div",    "dl", "dt", "footer", "h1",
      "h2",      "h3",         "h4",    "h5",     "h6", "header", "hr", "li", "ol",     "p",
      "section", "script",     "style", "table",  "td", "th",     "tr", "ul", "pre"};
  if (name.starts_with('/')) name.remove_prefix(1);
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Removes mark-up in one pass. A search for an end that fails is not repeated, so the time is linear.
MQL4GREC_DEFINITION std::string remove_markup(std::string_view text) {
  std::string plain;
  bool more_tags = true, more_comments = true, more_scripts = true;
  while (!text.empty()) {
    auto const begin = std::min(text.find('<'), text.size());
    plain.append(text.substr(0, begin));
    text.remove_prefix(begin);
    if (text.empty()) break;
    auto const name = tag_name(text);
    std::size_t end = text.npos;
    if (text.starts_with("<!--") && more_comments) {
      end = text.find("-->", 4);
      more_comments = end != text.npos;
      if (more_comments) end += 2;
    } else if ((!name.empty() || text.starts_with("<!") || text.starts_with("<?")) && more_tags) {
      end = text.find('>');
      more_tags = end != text.npos;
    }
    if (end != text.npos && (name == "script" || name == "style") && more_scripts) {
      auto const close = text.find(name == "script" ? "</script" : "</style", end);
      more_scripts = close != text.npos;
      if (more_scripts) end = std::min(text.find('>', close), text.size() - 1);
    }
    if (end == text.npos) {
      plain += '<';
      text.remove_prefix(1);
      continue;
    }
    if (breaks_line(name)) plain += ' ';
    text.remove_prefix(end + 1);
  }
  return plain;
}

/// The bytes of white space or of a control character at the beginning of a text in UTF-8, 0 if there is none.
MQL4GREC_DEFINITION std::size_t space_length(std::string_view text) {
  auto const byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  if (byte(0) <= 32 || byte(0) == 127) return 1;
  if (byte(0) == 0xc2 && (byte(1) <= 0x9f || byte(1) == 0xa0)) return 2;  // U+0080 … U+00A0
  if (byte(0) == 0xe1 && byte(1) == 0x9a && byte(2) == 0x80) return 3;    // U+1680
  if (byte(0) == 0xe3 && byte(1) == 0x80 && byte(2) == 0x80) return 3;    // U+3000
  if (byte(0) != 0xe2) return 0;
  bool const general = byte(1) == 0x80 && (byte(2) <= 0x8a || byte(2) == 0xa8 || byte(2) == 0xa9 || byte(2) == 0xaf);
  return general || (byte(1) == 0x81 && byte(2) == 0x9f) ? 3 : 0;
}

MQL4GREC_DEFINITION std::string fold_space(std::string_view text) {
  std::string folded;
  bool gap = false;
  while (!text.empty()) {
    if (auto const space = space_length(text); space > 0) {
      gap = true;
      text.remove_prefix(space);
      continue;
    }
    if (gap && !folded.empty()) folded += ' ';
    gap = false;
    folded += text.front();
    text.remove_prefix(1);
  }
  return folded;
}

}  // namespace detail

MQL4GREC_DEFINITION std::string decode_entities(std::string_view text) {
  std::string decoded;
  while (true) {
    auto const begin = text.find('&');
    decoded.append(text.substr(0, begin));
    if (begin == text.npos) return decoded;
    text.remove_prefix(begin);
    std::size_t end = 1;
    if (end < text.size() && text[end] == '#') ++end;
    while (end < text.size() && end < 40 && detail::is_letter_or_digit(text[end])) ++end;
    if (end < text.size() && text[end] == ';') ++end;
    decoded += end > 1 ? detail::decode_reference(std::string(text.substr(0, end))) : "&";
    text.remove_prefix(end);
  }
}

MQL4GREC_DEFINITION std::string clean_text(std::string_view text) {
  auto const decoded = decode_entities(detail::valid_utf8(text));
  return detail::fold_space(detail::remove_markup(decoded));
}

}  // namespace mql4grec::catalog
