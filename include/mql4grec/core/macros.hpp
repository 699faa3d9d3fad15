#pragma once
// The only macros of the library. Everything else is a language construct.

#if defined(__CUDACC__)
#define MQL4GREC_HD __host__ __device__
#else
#define MQL4GREC_HD
#endif

// Kernels that are compiled once for each instruction set must melt into their wrapper; see backend/cpu/simd.hpp.
#define MQL4GREC_INLINE [[gnu::always_inline]] inline
