# The GPU backend's two targets; an installed mql4grec reads this file too, for the component `gpu`.
#   mql4grec::thrust   its portable layer, for Thrust's cpp and omp systems: CCCL's headers and OpenMP
#   mql4grec::gpu      the same with CUDA kernels, for sources that nvcc compiles; where a toolkit is found
# MQL4GREC_GPU: ON demands both, AUTO takes what is there.
set(_required)
if(MQL4GREC_GPU STREQUAL "ON")
  set(_required REQUIRED)
else()
  set(_required QUIET)
endif()
find_package(CUDAToolkit 12 ${_required})
find_package(CCCL 2.2 ${_required})
find_package(OpenMP ${_required} COMPONENTS CXX)

if(CCCL_FOUND AND OpenMP_CXX_FOUND AND NOT TARGET mql4grec_thrust)
  add_library(mql4grec_thrust INTERFACE)
  add_library(mql4grec::thrust ALIAS mql4grec_thrust)
  target_link_libraries(mql4grec_thrust INTERFACE mql4grec::mql4grec CCCL::headers OpenMP::OpenMP_CXX)
  target_compile_definitions(mql4grec_thrust INTERFACE MQL4GREC_HAS_THRUST=1)
endif()

if(TARGET mql4grec_thrust AND CUDAToolkit_FOUND AND NOT TARGET mql4grec_gpu)
  # CMake 3.25 doesn't know C++20 for nvcc. Eigen has CUDA code of its own, which nobody here asks for.
  add_library(mql4grec_cuda_language INTERFACE)
  target_link_libraries(mql4grec_cuda_language INTERFACE mql4grec_thrust)
  target_compile_options(mql4grec_cuda_language INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;--expt-relaxed-constexpr>")
  target_compile_definitions(mql4grec_cuda_language INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:EIGEN_NO_CUDA>")
  add_library(mql4grec_gpu INTERFACE)
  add_library(mql4grec::gpu ALIAS mql4grec_gpu)
  target_link_libraries(mql4grec_gpu INTERFACE mql4grec_cuda_language CUDA::cudart CUDA::cublasLt)
endif()

# What we compile with nvcc ourselves (tests, examples, benchmarks, the program's --backend gpu) takes minutes: only where it is
# asked for (ON), or where a GPU is there to run it.
set(MQL4GREC_CUDA OFF)
file(GLOB _devices /dev/nvidia[0-9]* /dev/dxg)
if(MQL4GREC_BUILDS_ITSELF AND TARGET mql4grec_gpu AND (MQL4GREC_GPU STREQUAL "ON" OR _devices))
  if(NOT CMAKE_CUDA_COMPILER_LAUNCHER)
    set(CMAKE_CUDA_COMPILER_LAUNCHER "${CMAKE_CXX_COMPILER_LAUNCHER}")
  endif()
  if(NOT CMAKE_CUDA_ARCHITECTURES AND _devices)
    set(CMAKE_CUDA_ARCHITECTURES native)
  elseif(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 90-virtual)
  endif()
  if(NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER "${CUDAToolkit_NVCC_EXECUTABLE}")
  endif()
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    set(MQL4GREC_CUDA ON)
  endif()
endif()

if(MQL4GREC_BUILDS_ITSELF)
  message(STATUS "GPU backend: Thrust ${CCCL_VERSION}, CUDA toolkit ${CUDAToolkit_VERSION}, compiled with nvcc here: ${MQL4GREC_CUDA}")
endif()
