#pragma once
// How the process keeps memory.

namespace mql4grec::program {

/// Matrix libraries allocate and free buffers at every call. glibc returns large ones to the system each time, and the
/// page faults cost a sixth of the search's speed; kept in the heap they cost nothing. To be called first.
void keep_freed_memory();

}  // namespace mql4grec::program
