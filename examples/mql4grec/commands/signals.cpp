// Signal handlers.
#include "signals.hpp"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <iostream>

#include "options.hpp"

namespace mql4grec::program {

namespace {
std::atomic<bool> signalled{false};
static_assert(std::atomic<bool>::is_always_lock_free);  // the handler may touch nothing else

extern "C" void remember_signal(int) { signalled.store(true); }
}  // namespace

void catch_interruption(int signal) {
  struct sigaction action = {};
  action.sa_handler = remember_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigemptyset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);
}

void catch_interruptions() {
  catch_interruption(SIGINT);
  catch_interruption(SIGTERM);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is a failed write like any other
}

bool interrupted() { return signalled.load(); }

void leave_if_interrupted() {
  if (!interrupted()) return;
  std::cerr << (::isatty(STDERR_FILENO) == 1 ? "\r\033[K" : "") << "mql4grec: interrupted\n" << std::flush;
  std::_Exit(interrupted_by_signal);  // other threads may be at work: nothing is destroyed under them
}

}  // namespace mql4grec::program
