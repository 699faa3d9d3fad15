#pragma once
// How the process keeps memory.

namespace mql4grec::program {

/// Matrix libraries allocate and free buffers at every call. glibc returns large ones to the system each time, and the
/// page faults cost a sixth of the search's speed; kept in the heap they cost nothing. To be called first.
void keep_freed_memory();

/// For a service, whose many threads come and go with its models: few heaps, so that what one thread frees is used by
/// the others. With a heap for each thread, memory doubles after a few dozen reloads. To be called before threads
/// start.
void share_heaps();

}  // namespace mql4grec::program
