// Lines and bars on standard error.
#include "progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <utility>

#include "report/text.hpp"

namespace mql4grec::program {

namespace {
/// Columns of the terminal that shows standard error.
std::size_t terminal_width() {
  ::winsize size = {};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}
}  // namespace

progress_log::progress_log(progress_options const& options)
    : quiet_(options.quiet), terminal_(::isatty(STDERR_FILENO) == 1) {}

void progress_log::print(std::string const& line) {
  if (quiet_) return;
  if (!begun_) return held_.push_back(line);
  clear();
  std::cerr << one_line(line) << '\n' << std::flush;
}

void progress_log::begin() {
  if (std::exchange(begun_, true)) return;
  for (auto const& line : std::exchange(held_, {})) print(line);
}

void progress_log::bar(std::string const& label, double share, std::string const& details) {
  if (quiet_ || !terminal_ || !begun_) return;
  auto const now = clock::now();
  if (drawn_ && now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  constexpr std::size_t cells = 24;
  auto const full = static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * cells);
  auto line = label + " [" + std::string(full, '#') + std::string(cells - full, ' ') + "] " +
              fixed(100 * share, share < 0.1 ? 1 : 0) + "%  " + details;
  line.resize(std::min(line.size(), terminal_width() - 1));
  std::cerr << '\r' << line << "\033[K" << std::flush;
  drawn_ = true;
}

void progress_log::clear() {
  if (std::exchange(drawn_, false)) std::cerr << "\r\033[K" << std::flush;
}

}  // namespace mql4grec::program
