#pragma once

namespace mql4grec::program {

/// From here on the first SIGINT or SIGTERM only sets a flag; the second one ends the program at once.
void catch_interruptions();
bool interrupted();

/// For commands that have nothing to save: ends the program with 130 when a signal has come.
void leave_if_interrupted();

}  // namespace mql4grec::program
