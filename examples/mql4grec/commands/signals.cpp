// Signal handlers.
#include "signals.hpp"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "options.hpp"

namespace mql4grec::program {

namespace {
std::atomic<bool> signalled{false};
static_assert(std::atomic<bool>::is_always_lock_free);  // the handler may touch nothing else

extern "C" void remember_signal(int) { signalled.store(true); }

constexpr std::string_view erase_line = "\r\033[K", interrupted_line = "mql4grec: interrupted\n";
bool is_terminal = false;  // standard error; isatty() may not be called in a handler

extern "C" void end_at_signal(int) {  // write() and _exit() are what a handler may call
  if (is_terminal) static_cast<void>(!::write(STDERR_FILENO, erase_line.data(), erase_line.size()));
  static_cast<void>(!::write(STDERR_FILENO, interrupted_line.data(), interrupted_line.size()));
  ::_exit(interrupted_by_signal);
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigemptyset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);
}
}  // namespace

void catch_interruption(int signal) { handle(signal, remember_signal); }

void catch_interruptions() {
  catch_interruption(SIGINT);
  catch_interruption(SIGTERM);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is a failed write like any other
}

bool interrupted() { return signalled.load(); }

void leave_if_interrupted() {
  if (!interrupted()) return;
  std::cerr << (::isatty(STDERR_FILENO) == 1 ? erase_line : "") << interrupted_line << std::flush;
  std::_Exit(interrupted_by_signal);  // other threads may be at work: nothing is destroyed under them
}

void end_at_interruption() {
  is_terminal = ::isatty(STDERR_FILENO) == 1;
  for (int const signal : {SIGINT, SIGTERM}) handle(signal, end_at_signal);
  leave_if_interrupted();  // by one that came before
}

}  // namespace mql4grec::program
