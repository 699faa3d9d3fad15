# How we compile our own tests, examples and benchmarks; nothing of this reaches a consumer.
set(CMAKE_CXX_EXTENSIONS OFF)
set(MQL4GREC_WARNINGS -Wall -Wextra -Wconversion -Wshadow -Werror)

# Without the two maths flags AdamW's loop (a square root and a division) isn't vectorised.
add_library(mql4grec_house INTERFACE)
target_link_libraries(mql4grec_house INTERFACE mql4grec::mql4grec)
target_compile_options(mql4grec_house INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:${MQL4GREC_WARNINGS}>"
  # nvcc's own code breaks -Wpedantic and -Wconversion; it doesn't know g++'s pragmas; the other three as below
  "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Werror,-Wno-restrict,-Wno-stringop-overflow,-Wno-array-bounds;-Werror=all-warnings;--diag-suppress=1675>"
  # g++ 12 sees overlaps and overflows inside std::string: `std::string s; s = "1";` (GCC bug 105651)
  "$<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-restrict;-Wno-stringop-overflow;-Wno-array-bounds>"
  "$<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CONFIG:Release,RelWithDebInfo>>:-fno-math-errno;-fno-trapping-math>")
