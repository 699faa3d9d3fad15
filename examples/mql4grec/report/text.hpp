#pragma once
// Numbers and times as text, as standard output, standard error and reports show them.
#include <string>

#include "mql4grec/core/scalar.hpp"

namespace mql4grec::program {

/// "12,345"
std::string grouped(index_t number);
/// "1 item", "2 items"
std::string counted(index_t number, std::string const& what);
/// "1:02:03" or "2:03"
std::string clock_time(double seconds);
/// A number with a fixed count of decimals.
std::string fixed(double value, int decimals);
/// The text with spaces for line breaks and other control characters, which text from files may contain.
std::string one_line(std::string text);

}  // namespace mql4grec::program
