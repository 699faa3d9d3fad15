include(CMakePackageConfigHelpers)
include(GNUInstallDirs)
set(_destination "${CMAKE_INSTALL_LIBDIR}/cmake/mql4grec")

set(MQL4GREC_FIND_DEPENDENCIES)
foreach(package IN LISTS MQL4GREC_PACKAGES)
  string(APPEND MQL4GREC_FIND_DEPENDENCIES "find_dependency(${package})\n")
endforeach()
configure_package_config_file(cmake/mql4grecConfig.cmake.in mql4grecConfig.cmake INSTALL_DESTINATION "${_destination}")
write_basic_package_version_file(mql4grecConfigVersion.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
set(_config "${PROJECT_BINARY_DIR}/mql4grecConfig.cmake" "${PROJECT_BINARY_DIR}/mql4grecConfigVersion.cmake")

install(TARGETS mql4grec EXPORT mql4grecTargets FILE_SET HEADERS)
install(EXPORT mql4grecTargets NAMESPACE mql4grec:: DESTINATION "${_destination}")
if(MQL4GREC_COMPILED)
  install(TARGETS mql4grec_compiled EXPORT mql4grecCompiledTargets COMPONENT compiled)
  install(EXPORT mql4grecCompiledTargets NAMESPACE mql4grec:: DESTINATION "${_destination}" COMPONENT compiled)
endif()
if(MQL4GREC_C)
  install(TARGETS mql4grec_c EXPORT mql4grecCTargets
    LIBRARY COMPONENT c NAMELINK_COMPONENT c RUNTIME COMPONENT c ARCHIVE COMPONENT c FILE_SET HEADERS COMPONENT c)
  install(EXPORT mql4grecCTargets NAMESPACE mql4grec:: DESTINATION "${_destination}" COMPONENT c)
  # The library's folder may have one part, lib, or several, lib/x86_64-linux-gnu.
  file(RELATIVE_PATH MQL4GREC_PREFIX "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
  file(RELATIVE_PATH MQL4GREC_LIBDIR "${CMAKE_INSTALL_PREFIX}" "${CMAKE_INSTALL_FULL_LIBDIR}")
  file(RELATIVE_PATH MQL4GREC_INCLUDEDIR "${CMAKE_INSTALL_PREFIX}" "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
  string(REGEX REPLACE "/$" "" MQL4GREC_PREFIX "${MQL4GREC_PREFIX}")
  configure_file(cmake/mql4grec_c.pc.in mql4grec_c.pc @ONLY)
  install(FILES ${_config} DESTINATION "${_destination}" COMPONENT c EXCLUDE_FROM_ALL)  # by which the component alone is found
  install(FILES "${PROJECT_BINARY_DIR}/mql4grec_c.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT c)
endif()
install(FILES
  ${_config}
  cmake/FindCBLAS.cmake
  cmake/FindCCCL.cmake
  cmake/FindImageLibraries.cmake
  cmake/FindGumbo.cmake
  cmake/FindoneDNN.cmake
  cmake/Findsentencepiece.cmake
  cmake/Findutf8proc.cmake
  cmake/gpu.cmake
  cmake/mpi.cmake
  DESTINATION "${_destination}")
# CMAKE_INSTALL_DOCDIR may be that of a project around this one.
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DATAROOTDIR}/doc/mql4grec")
