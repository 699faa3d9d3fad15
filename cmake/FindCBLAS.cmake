# CBLAS::CBLAS: cblas.h and the library that answers it. OpenBLAS first, any CBLAS after it.
# MQL4GREC_HAS_OPENBLAS=1 comes with the target when it is OpenBLAS (openblas_set_num_threads exists).
set(_flavours openblas openblas-pthread openblas-openmp openblas-serial)
find_path(CBLAS_INCLUDE_DIR cblas.h PATH_SUFFIXES ${_flavours})
find_library(CBLAS_LIBRARY NAMES openblas cblas blas PATH_SUFFIXES ${_flavours})
mark_as_advanced(CBLAS_INCLUDE_DIR CBLAS_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CBLAS REQUIRED_VARS CBLAS_LIBRARY CBLAS_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "on Debian: apt-get install libopenblas-dev")

if(CBLAS_FOUND AND NOT TARGET CBLAS::CBLAS)
  add_library(CBLAS::CBLAS UNKNOWN IMPORTED)
  set_target_properties(CBLAS::CBLAS PROPERTIES
    IMPORTED_LOCATION "${CBLAS_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${CBLAS_INCLUDE_DIR}")
  if(CBLAS_LIBRARY MATCHES openblas)
    set_target_properties(CBLAS::CBLAS PROPERTIES INTERFACE_COMPILE_DEFINITIONS MQL4GREC_HAS_OPENBLAS=1)
  endif()
endif()
