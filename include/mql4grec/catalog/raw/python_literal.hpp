#pragma once
// Lines that are Python literals, as in the Amazon metadata of 2014: `{'asin': '0001', 'title': "It's", 'price': 3.5}`.
#include <string>
#include <string_view>

#include "mql4grec/core/macros.hpp"

namespace mql4grec::catalog {

/// Rewrites one Python literal as JSON: dictionaries, lists, tuples, strings (with the prefixes u, b and r, and
/// adjacent ones joined), numbers, True, False and None. Names that JSON lacks and Python programs write (NaN,
/// Infinity) become null; null, true and false are accepted. Throws error, "byte 12: expected …", for anything else,
/// and for more than 64 levels of nesting.
[[nodiscard]] std::string python_literal_to_json(std::string_view text);

}  // namespace mql4grec::catalog

#if !MQL4GREC_COMPILED
#include "mql4grec/catalog/raw/python_literal.inl.hpp"
#endif
