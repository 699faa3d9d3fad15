#pragma once
// Progress on standard error: on a terminal one line that is redrawn, elsewhere a line for each stage. Lines are held
// until the work has begun, so that a command that fails at its inputs prints the error only.
#include <chrono>
#include <string>
#include <vector>

namespace mql4grec::program {

struct progress_options {
  bool quiet = false;  ///< print nothing, warnings included
};

class progress_log {
 public:
  explicit progress_log(progress_options const& options);
  progress_log(progress_log const&) = delete;
  progress_log& operator=(progress_log const&) = delete;
  ~progress_log() { clear(); }

  void warn(std::string const& line) { print("mql4grec: warning: " + line); }
  void stage(std::string const& line) { print(line); }
  /// A line that a terminal does not need, because its bar shows the same.
  void milestone(std::string const& line) {
    if (!terminal_) print(line);
  }
  /// To be called once inputs and outputs have been checked: prints the lines that were held.
  void begin();
  /// Draws "label [####    ] 42 % details" on a terminal, at most ten times a second.
  void bar(std::string const& label, double share, std::string const& details);
  /// Removes the bar.
  void clear();

 private:
  using clock = std::chrono::steady_clock;
  void print(std::string const& line);

  bool quiet_, terminal_, begun_ = false, drawn_ = false;
  std::vector<std::string> held_;
  clock::time_point last_ = {};
};

}  // namespace mql4grec::program
