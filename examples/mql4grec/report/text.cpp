// Numbers and times as text.
#include "text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace mql4grec::program {

std::string grouped(index_t number) {
  std::string digits = std::to_string(number);
  for (auto at = static_cast<index_t>(digits.size()) - 3; at > (number < 0 ? 1 : 0); at -= 3)
    digits.insert(static_cast<std::size_t>(at), ",");
  return digits;
}

std::string counted(index_t number, std::string const& what) {
  return grouped(number) + " " + what + (number == 1 ? "" : "s");
}

std::string fixed(double value, int decimals) {
  std::array<char, 64> text{};
  auto const length = std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return {text.data(), std::min(static_cast<std::size_t>(std::max(length, 0)), text.size() - 1)};
}

std::string clock_time(double seconds) {
  auto const whole = static_cast<index_t>(std::clamp(seconds, 0.0, 1e9));
  auto const two = [](index_t n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  auto const tail = ":" + two(whole % 60);
  return whole < 3600 ? std::to_string(whole / 60) + tail
                      : std::to_string(whole / 3600) + ":" + two(whole / 60 % 60) + tail;
}

std::string one_line(std::string text) {
  for (auto& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  return text;
}

}  // namespace mql4grec::program
