# ImageLibraries::ImageLibraries: libjpeg (libjpeg-turbo), libpng, and libwebp with libwebpdemux. All of them, or none.
find_package(JPEG QUIET)
find_package(PNG QUIET)
find_path(WebP_INCLUDE_DIR webp/demux.h)
find_library(WebP_LIBRARY webp)
find_library(WebP_DEMUX_LIBRARY webpdemux)
mark_as_advanced(WebP_INCLUDE_DIR WebP_LIBRARY WebP_DEMUX_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(ImageLibraries
  REQUIRED_VARS JPEG_LIBRARIES PNG_LIBRARIES WebP_LIBRARY WebP_DEMUX_LIBRARY WebP_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "on Debian: apt-get install libjpeg-dev libpng-dev libwebp-dev")

if(ImageLibraries_FOUND AND NOT TARGET ImageLibraries::ImageLibraries)
  add_library(ImageLibraries::ImageLibraries INTERFACE IMPORTED)
  target_include_directories(ImageLibraries::ImageLibraries INTERFACE
    "${WebP_INCLUDE_DIR}" ${JPEG_INCLUDE_DIRS} ${PNG_INCLUDE_DIRS})
  target_link_libraries(ImageLibraries::ImageLibraries INTERFACE
    JPEG::JPEG PNG::PNG "${WebP_DEMUX_LIBRARY}" "${WebP_LIBRARY}")
endif()
