#pragma once
// The only macros of the library. Everything else is a language construct.

#if defined(__CUDACC__)
#define MQL4GREC_HD __host__ __device__
#else
#define MQL4GREC_HD
#endif

// Kernels that are compiled once for each instruction set must melt into their wrapper; see backend/cpu/simd.hpp.
#define MQL4GREC_INLINE [[gnu::always_inline]] inline

// Whether files can be read: they need nlohmann/json. CMake decides with MQL4GREC_JSON; without CMake, whether it is
// there.
#if !defined(MQL4GREC_HAS_JSON)
#if __has_include(<nlohmann/json.hpp>)
#define MQL4GREC_HAS_JSON 1
#else
#define MQL4GREC_HAS_JSON 0
#endif
#endif

// What stands before a definition that isn't a template: `inline`, but in the sources of mql4grec::compiled, which
// define it as nothing.
#if !defined(MQL4GREC_DEFINITION)
#define MQL4GREC_DEFINITION inline
#endif
