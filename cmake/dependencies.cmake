# Finds what the library links. Leaves three lists behind:
#   MQL4GREC_LINKS         targets of the interface
#   MQL4GREC_DEFINITIONS   what the headers may rely on
#   MQL4GREC_PACKAGES      what an installed mql4grec has to find again
find_package(Eigen3 3.4 REQUIRED NO_MODULE)
find_package(xtensor REQUIRED)
find_package(CBLAS REQUIRED)
find_package(Threads REQUIRED)
set(MQL4GREC_LINKS Eigen3::Eigen xtensor CBLAS::CBLAS Threads::Threads)
set(MQL4GREC_PACKAGES Eigen3 xtensor CBLAS Threads)
set(MQL4GREC_DEFINITIONS)

macro(mql4grec_optional option package target)
  set(_has 0)
  if(MQL4GREC_${option})
    if(MQL4GREC_${option} STREQUAL "AUTO")
      find_package(${package} QUIET)
    else()
      find_package(${package} REQUIRED)
    endif()
    if(${package}_FOUND)
      set(_has 1)
      list(APPEND MQL4GREC_LINKS ${target})
      list(APPEND MQL4GREC_PACKAGES ${package})
    endif()
    if(PROJECT_IS_TOP_LEVEL)
      message(STATUS "${package}: ${${package}_FOUND} ${${package}_VERSION}")
    endif()
  endif()
  list(APPEND MQL4GREC_DEFINITIONS MQL4GREC_HAS_${option}=${_has})  # a header must not look for itself what was switched off
endmacro()
mql4grec_optional(ONEDNN oneDNN oneDNN::oneDNN)
mql4grec_optional(JSON nlohmann_json nlohmann_json::nlohmann_json)
