#pragma once
// Command lines of benchmarks: options `--name VALUE`, and switches `--name`.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/scalar.hpp"

namespace bench {

/// An option: its name, what it sets, and the least number that it accepts. What sets a bool is a switch.
struct option {
  std::string_view name;
  std::variant<bool*, mql4grec::index_t*, double*, std::string*> value;
  double least = 0;
};

/// A number as an option's value, which may be written as 1e8. Throws error if it is none, or less than `least`.
inline double number_of(option const& of, std::string_view text) {
  double value = 0;
  auto const [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  mql4grec::expects(fault == std::errc() && end == text.data() + text.size() && value >= of.least && value < 1e15,
                    of.name, " '", text, "', expected a number of at least ", of.least);
  return value;
}

/// Sets what the arguments name. Throws error for an unknown option, a missing value, and a number that number_of
/// refuses or that has to be whole.
inline void parse_options(std::span<char* const> arguments, std::vector<option> const& known) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view const name = arguments[i];
    auto const found = std::ranges::find(known, name, &option::name);
    if (found == known.end()) {
      std::string names;
      for (auto const& each : known) names += (names.empty() ? "" : ", ") + std::string(each.name);
      mql4grec::raise("unknown option '", name, "', expected ", names);
    }
    if (auto* const on = std::get_if<bool*>(&found->value)) {
      **on = true;
      continue;
    }
    mql4grec::expects(++i < arguments.size(), name, " needs a value");
    std::string_view const text = arguments[i];
    if (auto* const words = std::get_if<std::string*>(&found->value)) **words = text;
    if (auto* const real = std::get_if<double*>(&found->value)) **real = number_of(*found, text);
    if (auto* const whole = std::get_if<mql4grec::index_t*>(&found->value)) {
      double const value = number_of(*found, text);
      mql4grec::expects(value == std::floor(value), name, " '", text, "', expected a whole number");
      **whole = static_cast<mql4grec::index_t>(value);
    }
  }
}

/// The same for the arguments of main() from `first` on; an error is printed and ends the program with status 2.
inline void read_options(int count, char** arguments, std::vector<option> const& known, int first = 1) {
  try {
    parse_options(std::span(arguments, static_cast<std::size_t>(count)).subspan(static_cast<std::size_t>(first)),
                  known);
  } catch (mql4grec::error const& fault) {
    std::string_view const path = arguments[0];
    std::fprintf(stderr, "%s: %s\n", std::string(path.substr(path.rfind('/') + 1)).c_str(), fault.what());
    std::exit(2);
  }
}

}  // namespace bench
