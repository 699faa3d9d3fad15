# The target `docs`: the API reference, by doxygen.
find_program(DOXYGEN_EXECUTABLE doxygen)
mark_as_advanced(DOXYGEN_EXECUTABLE)
if(NOT DOXYGEN_EXECUTABLE)
  message(STATUS "doxygen not found: no target docs for the API reference")
  return()
endif()

set(MQL4GREC_REFERENCE_DIR "${PROJECT_BINARY_DIR}/docs")
configure_file("${PROJECT_SOURCE_DIR}/docs/Doxyfile.in" "${MQL4GREC_REFERENCE_DIR}/Doxyfile" @ONLY)
add_custom_target(docs
  COMMAND "${DOXYGEN_EXECUTABLE}" "${MQL4GREC_REFERENCE_DIR}/Doxyfile"
  COMMAND "${CMAKE_COMMAND}" -E echo "${MQL4GREC_REFERENCE_DIR}/html/index.html"
  COMMENT "API reference"
  VERBATIM)
