#pragma once
// Ranks that are processes, connected by MPI. Needs <mpi.h> and an MPI library; no other header includes this file.
// Link mql4grec::mpi, which defines MQL4GREC_HAS_MPI.
//
//     train::mpi_process process;                  // one object, for the whole program
//     auto const ranks = process.communicator();   // what trainers take
#include <mpi.h>

#include <chrono>
#include <climits>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "mql4grec/train/host_communicator.hpp"

namespace mql4grec::train {

namespace detail {

inline void check_mpi(int status, char const* call) {
  if (status == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(status, text, &length);
  raise("MPI: ", call, ": ", text);
}

/// The processes of an MPI communicator.
class mpi_rank final : public rank_connection {
 public:
  /// Duplicates the communicator, so that its messages aren't mixed with others'.
  explicit mpi_rank(MPI_Comm of) {
    check_mpi(MPI_Comm_dup(of, &ranks_), "MPI_Comm_dup");
    MPI_Comm_set_errhandler(ranks_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(ranks_, &rank_);
    MPI_Comm_size(ranks_, &size_);
  }
  ~mpi_rank() override {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (finalized == 0) MPI_Comm_free(&ranks_);
  }

  index_t rank() const override { return rank_; }
  index_t world_size() const override { return size_; }

  void all_reduce(host_values values) override {
    check_mpi(MPI_Allreduce(MPI_IN_PLACE, values.data, count_of(values.size), type_of(values), MPI_SUM, ranks_),
              "MPI_Allreduce");
  }
  void all_gather(host_values values, std::span<index_t const> offsets) override {
    auto const [counts, places] = parts_of(offsets);
    check_mpi(MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, values.data, counts.data(), places.data(),
                             type_of(values), ranks_),
              "MPI_Allgatherv");
  }
  void all_to_all(host_values sent, std::span<index_t const> offsets, host_values received,
                  std::span<index_t const> received_offsets) override {
    auto const [counts, places] = parts_of(offsets);
    auto const [received_counts, received_places] = parts_of(received_offsets);
    check_mpi(MPI_Alltoallv(sent.data, counts.data(), places.data(), type_of(sent), received.data,
                            received_counts.data(), received_places.data(), type_of(received), ranks_),
              "MPI_Alltoallv");
  }

 private:
  static int count_of(index_t n) {
    expects(n <= INT_MAX, "MPI: ", n, " values at once, expected at most ", INT_MAX);
    return static_cast<int>(n);
  }
  static MPI_Datatype type_of(host_values values) {
    return values.bytes_of_each == sizeof(float) ? MPI_FLOAT : MPI_DOUBLE;
  }
  /// The sizes and the beginnings of parts.
  static std::pair<std::vector<int>, std::vector<int>> parts_of(std::span<index_t const> offsets) {
    std::pair<std::vector<int>, std::vector<int>> parts;
    for (std::size_t r = 0; r + 1 < offsets.size(); ++r) {
      parts.first.push_back(count_of(offsets[r + 1] - offsets[r]));
      parts.second.push_back(count_of(offsets[r]));
    }
    return parts;
  }

  MPI_Comm ranks_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
};

}  // namespace detail

/// This process as a rank of the world that mpirun, or another launcher of MPI, started. Initializes MPI, unless that
/// was done before, and ends it again.
class mpi_process {
 public:
  /// Throws error if MPI can't be used from the one thread that calls the communicator.
  mpi_process() {
    int initialized = 0, provided = MPI_THREAD_SINGLE;
    MPI_Initialized(&initialized);
    if (initialized != 0) {
      MPI_Query_thread(&provided);
    } else {
      detail::check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
      owns_mpi_ = true;
    }
    expects(provided >= MPI_THREAD_FUNNELED, "MPI: this library doesn't work in a process with threads");
    detail::check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &failures_), "MPI_Comm_dup");
    MPI_Comm here = MPI_COMM_NULL;
    detail::check_mpi(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here),
                      "MPI_Comm_split_type");
    MPI_Comm_size(here, &on_host_);
    MPI_Comm_rank(here, &rank_on_host_);
    MPI_Comm_free(&here);
    connection_ = std::make_shared<detail::mpi_rank>(MPI_COMM_WORLD);
  }
  mpi_process(mpi_process const&) = delete;
  mpi_process& operator=(mpi_process const&) = delete;
  ~mpi_process() {
    connection_.reset();
    MPI_Comm_free(&failures_);
    if (owns_mpi_) MPI_Finalize();
  }

  /// The ranks of the world. Called from the thread that constructed this object, as all that uses it.
  host_communicator communicator() const { return host_communicator(connection_); }
  /// This process' number, from 0.
  index_t rank() const { return connection_->rank(); }
  /// The number of processes.
  index_t world_size() const { return connection_->world_size(); }
  /// How many of the processes are on this host; they share its cores.
  index_t ranks_on_host() const { return on_host_; }
  /// This process' number among those on its host, from 0; for instance the number of its device.
  index_t rank_on_host() const { return rank_on_host_; }

  /// To be called when the work of this rank has failed. If all ranks have within a second, they have found the same:
  /// returns, and one of them reports it. Otherwise writes `line` and ends the processes of all ranks with `status`:
  /// the others wait for this one.
  void end_all_unless_all_failed(std::string const& line, int status) {
    MPI_Request request = MPI_REQUEST_NULL;
    int done = 0;
    if (MPI_Ibarrier(failures_, &request) == MPI_SUCCESS)
      for (int tries = 0; done == 0 && tries < 100; ++tries) {
        if (MPI_Test(&request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) break;
        if (done == 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
    if (done != 0) return;
    std::cerr << line << std::endl;
    MPI_Abort(MPI_COMM_WORLD, status);
    std::_Exit(status);
  }

 private:
  MPI_Comm failures_ = MPI_COMM_NULL;  // of end_all_unless_all_failed alone
  std::shared_ptr<detail::mpi_rank> connection_;
  int on_host_ = 1, rank_on_host_ = 0;
  bool owns_mpi_ = false;
};

}  // namespace mql4grec::train
