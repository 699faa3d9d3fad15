#pragma once
// What is seen of the work on standard error: on a terminal one line that is drawn again and again, elsewhere a line
// for each stage. Lines are held back until the work has begun, so that a command that fails at its inputs says one
// line only.
#include <chrono>
#include <string>
#include <vector>

namespace mql4grec::program {

class progress_log {
 public:
  explicit progress_log(bool quiet);
  progress_log(progress_log const&) = delete;
  progress_log& operator=(progress_log const&) = delete;
  ~progress_log() { clear(); }

  void warn(std::string const& line) { say("mql4grec: warning: " + line); }
  void stage(std::string const& line) { say(line); }
  /// A line that a terminal doesn't need, as its bar says the same.
  void milestone(std::string const& line) {
    if (!terminal_) say(line);
  }
  /// Inputs and outputs are fine: what was held back is said now.
  void begin();
  /// Draws "label [####    ] 42 % details"; at most ten times a second, and never when this isn't a terminal.
  void bar(std::string const& label, double share, std::string const& details);
  void clear();

 private:
  using clock = std::chrono::steady_clock;
  void say(std::string const& line);

  bool quiet_, terminal_, begun_ = false, drawn_ = false;
  std::vector<std::string> held_;
  clock::time_point last_ = {};
};

}  // namespace mql4grec::program
