#pragma once
// SIGINT and SIGTERM: the first is a request to stop, which the work polls.

namespace mql4grec::program {

/// Installs the handlers: the first SIGINT or SIGTERM sets a flag, the second ends the program immediately.
void catch_interruptions();
/// The same for one signal.
void catch_interruption(int signal);
/// Whether a signal has arrived.
bool interrupted();

/// For commands that have nothing to save: ends the program with 130 when a signal has arrived.
void leave_if_interrupted();

/// For work that has nothing to save and does not poll: from now on, and until the next catch_interruptions(), a signal
/// ends the program with 130 at once.
void end_at_interruption();

}  // namespace mql4grec::program
