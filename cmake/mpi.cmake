# The target mql4grec::mpi, for ranks that are processes; an installed mql4grec reads this file too, for the component `mpi`. The core
# library needs no MPI. MQL4GREC_MPI: ON demands it, AUTO takes what is there.
set(MPI_CXX_SKIP_MPICXX ON)  # MPI's C functions, without the bindings for C++ that it once had
if(MQL4GREC_MPI STREQUAL "ON")
  find_package(MPI REQUIRED COMPONENTS CXX)
else()
  find_package(MPI QUIET COMPONENTS CXX)
endif()
if(MPI_CXX_FOUND AND NOT TARGET mql4grec_mpi)
  add_library(mql4grec_mpi INTERFACE)
  add_library(mql4grec::mpi ALIAS mql4grec_mpi)
  target_link_libraries(mql4grec_mpi INTERFACE mql4grec::mql4grec MPI::MPI_CXX)
  target_compile_definitions(mql4grec_mpi INTERFACE MQL4GREC_HAS_MPI=1)
endif()
