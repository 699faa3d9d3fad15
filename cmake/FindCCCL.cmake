# CCCL::headers: Thrust, CUB and libcu++ by path, from a CUDA toolkit or from PyPI's nvidia-cuda-cccl (scripts/setup puts that into
# .cccl when there is no toolkit). Their own CMake targets choose a device system for a whole project; ours is in the type.
file(GLOB _pypi "${CMAKE_CURRENT_LIST_DIR}/../.cccl/nvidia/*/include/cccl" "${CMAKE_CURRENT_LIST_DIR}/../.cccl/nvidia/*/include")
find_path(CCCL_INCLUDE_DIR thrust/version.h
  HINTS ENV CCCL_ROOT ${CUDAToolkit_INCLUDE_DIRS}
  PATHS /usr/local/cuda/include ${_pypi}
  PATH_SUFFIXES cccl include/cccl include)
mark_as_advanced(CCCL_INCLUDE_DIR)

if(CCCL_INCLUDE_DIR)
  file(STRINGS "${CCCL_INCLUDE_DIR}/thrust/version.h" _lines REGEX "define THRUST_VERSION [0-9]+")
  string(REGEX MATCH "[0-9]+" _number "${_lines}")  # MMMmmmpp
  if(_number)
    math(EXPR _major "${_number} / 100000")
    math(EXPR _minor "${_number} / 100 % 1000")
    math(EXPR _patch "${_number} % 100")
    set(CCCL_VERSION "${_major}.${_minor}.${_patch}")
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CCCL REQUIRED_VARS CCCL_INCLUDE_DIR VERSION_VAR CCCL_VERSION
  REASON_FAILURE_MESSAGE "part of the CUDA toolkit, or without one: pip install --target .cccl nvidia-cuda-cccl")

if(CCCL_FOUND AND NOT TARGET CCCL::headers)
  add_library(CCCL::headers INTERFACE IMPORTED)
  set_target_properties(CCCL::headers PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${CCCL_INCLUDE_DIR}")
endif()
