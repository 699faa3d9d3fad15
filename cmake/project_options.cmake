# How we compile our own tests, examples and benchmarks; nothing of this reaches a consumer.
set(CMAKE_CXX_EXTENSIONS OFF)
option(MQL4GREC_WERROR "warnings are errors; OFF for a compiler that nobody here has tried" ON)
set(MQL4GREC_WARNINGS -Wall -Wextra -Wconversion -Wshadow)
set(MQL4GREC_CUDA_WARNINGS "-Xcompiler=-Wall,-Wextra,-Wno-restrict,-Wno-stringop-overflow,-Wno-array-bounds")
if(MQL4GREC_WERROR)
  list(APPEND MQL4GREC_WARNINGS -Werror)
  list(APPEND MQL4GREC_CUDA_WARNINGS -Xcompiler=-Werror -Werror=all-warnings)
endif()

# Without the two maths flags AdamW's loop (a square root and a division) isn't vectorised.
add_library(mql4grec_project_options INTERFACE)
target_link_libraries(mql4grec_project_options INTERFACE mql4grec::mql4grec)
target_compile_options(mql4grec_project_options INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:${MQL4GREC_WARNINGS}>"
  # nvcc's own code breaks -Wpedantic and -Wconversion; it doesn't know g++'s pragmas; the other three as below
  "$<$<COMPILE_LANGUAGE:CUDA>:${MQL4GREC_CUDA_WARNINGS};--diag-suppress=1675>"
  # g++ 12 sees overlaps and overflows inside std::string: `std::string s; s = "1";` (GCC bug 105651)
  "$<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-restrict;-Wno-stringop-overflow;-Wno-array-bounds>"
  "$<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CONFIG:Release,RelWithDebInfo>>:-fno-math-errno;-fno-trapping-math>")
