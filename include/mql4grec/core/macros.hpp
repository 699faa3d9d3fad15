#pragma once
// The only macros of the library.

/// Marks functions that also run on a GPU; empty for host compilers.
#if defined(__CUDACC__)
#define MQL4GREC_HD __host__ __device__
#else
#define MQL4GREC_HD
#endif

/// Kernels that are compiled once for each instruction set must be inlined into their wrapper; see
/// backend/cpu/runtime/dispatch.hpp.
#define MQL4GREC_INLINE [[gnu::always_inline]] inline

/// Whether files can be read, which requires nlohmann/json. CMake sets it with MQL4GREC_JSON; without CMake, it is set
/// when the header exists.
#if !defined(MQL4GREC_HAS_JSON)
#if __has_include(<nlohmann/json.hpp>)
#define MQL4GREC_HAS_JSON 1
#else
#define MQL4GREC_HAS_JSON 0
#endif
#endif

/// Whether texts can become tokens (embed/tokenizer), which requires utf8proc. CMake sets it with MQL4GREC_UTF8PROC;
/// without CMake, it is set when the header exists.
#if !defined(MQL4GREC_HAS_UTF8PROC)
#if __has_include(<utf8proc.h>)
#define MQL4GREC_HAS_UTF8PROC 1
#else
#define MQL4GREC_HAS_UTF8PROC 0
#endif
#endif

/// Whether images can be decoded, which requires libjpeg, libpng, libwebp and libwebpdemux. CMake sets it with
/// MQL4GREC_IMAGES; without CMake, it is set when the headers exist.
#if !defined(MQL4GREC_HAS_IMAGES)
#if __has_include(<jpeglib.h>) && __has_include(<png.h>) && __has_include(<webp/demux.h>)
#define MQL4GREC_HAS_IMAGES 1
#else
#define MQL4GREC_HAS_IMAGES 0
#endif
#endif

/// Whether raw files of ratings and items can be read (catalog/raw), which requires zlib, simdjson, gumbo and
/// nlohmann/json. CMake sets it with MQL4GREC_RAW; without CMake, it is set when the headers exist.
#if !defined(MQL4GREC_HAS_RAW)
#if MQL4GREC_HAS_JSON && __has_include(<zlib.h>) && __has_include(<simdjson.h>) && __has_include(<gumbo.h>)
#define MQL4GREC_HAS_RAW 1
#else
#define MQL4GREC_HAS_RAW 0
#endif
#endif

/// Precedes each definition that isn't a template: `inline`, except in the sources of mql4grec::compiled, where it is
/// empty.
#if !defined(MQL4GREC_DEFINITION)
#define MQL4GREC_DEFINITION inline
#endif
