#pragma once
// Titles and descriptions of shops, which contain mark-up and entities, as plain text. Needs gumbo and simdjson.
#include <string>
#include <string_view>

#include "mql4grec/core/macros.hpp"

namespace mql4grec::catalog {

namespace detail {

/// The text itself, or, if it isn't UTF-8, converted from Latin-1.
std::string valid_utf8(std::string_view text);

}  // namespace detail

/// Decodes the character references of HTML 5 once: "caf&eacute; &#38; bar" becomes "café & bar". References without a
/// semicolon are decoded where HTML does so; unknown ones stay.
[[nodiscard]] std::string decode_entities(std::string_view text);

/// A text as people read it, in three steps: entities are decoded; tags, comments, and the content of `script` and
/// `style` are removed, where tags that break a line become a space; white space of any kind is folded to single
/// spaces, with none at the ends. Mark-up that was itself encoded (`&lt;br&gt;`) is removed as well. A text that isn't
/// UTF-8 is taken as Latin-1. The result is valid UTF-8.
[[nodiscard]] std::string clean_text(std::string_view text);

}  // namespace mql4grec::catalog

#if !MQL4GREC_COMPILED
#include "mql4grec/catalog/raw/clean_text.inl.hpp"
#endif
