#pragma once
// Ranks that are processes, connected by MPI. Needs <mpi.h> and an MPI library; no other header includes this file.
// Link mql4grec::mpi, which defines MQL4GREC_HAS_MPI.
//
//     train::mpi_process process;                  // one object, for the whole program
//     auto const ranks = process.communicator();   // what trainers take
#include <mpi.h>
#if __has_include(<mpi-ext.h>)
#include <mpi-ext.h>
#endif

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <typeinfo>
#include <utility>
#include <vector>

#include "mql4grec/train/host_communicator.hpp"

namespace mql4grec::gpu {
struct cuda;
}  // namespace mql4grec::gpu

namespace mql4grec::train {

namespace detail {

/// Whether the MPI library says that it reads the memory of NVIDIA's GPUs.
inline bool mpi_reads_cuda_memory() {
#if defined(MPIX_CUDA_AWARE_SUPPORT) && MPIX_CUDA_AWARE_SUPPORT
  return MPIX_Query_cuda_support() == 1;
#else
  return false;
#endif
}

inline void check_mpi(int status, char const* call) {
  if (status == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(status, text, &length);
  raise("MPI: ", call, ": ", text);
}

/// The processes of an MPI communicator. Values are sent without blocking, and each call asks MPI again and again
/// whether it is done. So a rank that doesn't come is noticed: one that has waited for too long asks all others whether
/// they wait, too. Those that do answer; if all do, it waits again, and those from which nothing comes within a grace
/// period are missing:
///
///     rank 0   all_reduce ··········· time is up ─► question ──► 1, 2 ·· from 2 nothing: throws rank_missing
///     rank 1       all_reduce ····················· answer ────► 0 ····· is told: throws other_rank_failed
///     rank 2   hangs
class mpi_rank final : public rank_connection {
 public:
  /// Duplicates the communicator, so that its messages aren't mixed with others'.
  mpi_rank(MPI_Comm of, connection_limits const& limits) : limits_(limits) {
    for (auto* one : {&ranks_, &notes_}) {
      check_mpi(MPI_Comm_dup(of, one), "MPI_Comm_dup");
      MPI_Comm_set_errhandler(*one, MPI_ERRORS_RETURN);
    }
    MPI_Comm_rank(ranks_, &rank_);
    MPI_Comm_size(ranks_, &size_);
  }
  ~mpi_rank() override {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (finalized != 0) return;
    MPI_Comm_free(&notes_);
    MPI_Comm_free(&ranks_);
  }

  index_t rank() const override { return rank_; }
  index_t world_size() const override { return size_; }
  bool reads_device_memory(std::type_info const& space) const override {
    return reads_cuda_memory_ && space == typeid(device_space<gpu::cuda>);
  }

  void all_reduce(host_values values) override {
    expect_usable();
    in_pieces(values, 0, values.size, [&](void* data, int count) {
      check_mpi(MPI_Iallreduce(MPI_IN_PLACE, data, count, type_of(values), MPI_SUM, ranks_, &requests_.emplace_back()),
                "MPI_Iallreduce");
      finish("MPI_Iallreduce");
    });
  }
  void all_gather(host_values values, std::span<index_t const> offsets) override {
    expect_usable();
    for (int distance = 1; distance < size_; ++distance) {
      int const from = (rank_ + size_ - distance) % size_, to = (rank_ + distance) % size_;
      receive(values, offsets, to_size(from), from);
      send(values, offsets, to_size(rank_), to);
    }
    finish("all_gather");
  }
  void all_to_all(host_values sent, std::span<index_t const> offsets, host_values received,
                  std::span<index_t const> received_offsets) override {
    expect_usable();
    // In a device's memory, the own part is for MPI to copy, too.
    for (int distance = reads_cuda_memory_ ? 0 : 1; distance < size_; ++distance) {
      int const from = (rank_ + size_ - distance) % size_, to = (rank_ + distance) % size_;
      receive(received, received_offsets, to_size(from), from);
      send(sent, offsets, to_size(to), to);
    }
    auto const own = to_size(rank_);
    index_t const count = offsets[own + 1] - offsets[own];
    if (count > 0 && !reads_cuda_memory_)
      std::memcpy(place_of(received, received_offsets[own]), place_of(sent, offsets[own]),
                  to_size(count) * sent.bytes_of_each);
    finish("all_to_all");
  }

 private:
  using clock = std::chrono::steady_clock;
  static constexpr int values_tag = 0;
  static constexpr double grace_seconds = 2;
  static constexpr double longest_look_seconds = 1;  // that counts as waiting; more: the process was stopped

  static std::byte* place_of(host_values values, index_t first) {
    return static_cast<std::byte*>(values.data) + to_size(first) * values.bytes_of_each;
  }
  static MPI_Datatype type_of(host_values values) {
    return values.bytes_of_each == sizeof(float) ? MPI_FLOAT : MPI_DOUBLE;
  }
  /// Calls transfer(pointer, count) for pieces that MPI can count.
  template <class Transfer>
  void in_pieces(host_values values, index_t first, index_t last, Transfer const& transfer) {
    for (index_t i = first; i < last; i += limits_.values_at_once)
      transfer(place_of(values, i), static_cast<int>(std::min(last - i, limits_.values_at_once)));
  }
  void send(host_values values, std::span<index_t const> offsets, std::size_t part, int to) {
    in_pieces(values, offsets[part], offsets[part + 1], [&](void* data, int count) {
      check_mpi(MPI_Isend(data, count, type_of(values), to, values_tag, ranks_, &requests_.emplace_back()),
                "MPI_Isend");
    });
  }
  void receive(host_values values, std::span<index_t const> offsets, std::size_t part, int from) {
    in_pieces(values, offsets[part], offsets[part + 1], [&](void* data, int count) {
      check_mpi(MPI_Irecv(data, count, type_of(values), from, values_tag, ranks_, &requests_.emplace_back()),
                "MPI_Irecv");
    });
  }

  /// After a failure, messages of that call may still come.
  void expect_usable() const {
    if (failed_) raise<other_rank_failed>("a collective after one that has failed");
  }
  /// Waits for the requests of a call. Uses the core as long as no other thread wants it, at first; sleeps between two
  /// looks when it takes longer. While this process is stopped, as by a scheduler that suspends all ranks, it doesn't
  /// wait.
  void finish(char const* call) {
    double waited = 0;
    asked_at_.reset();
    auto last = clock::now();
    for (int looks = 0;; ++looks) {
      int done = 0;
      check_mpi(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done, MPI_STATUSES_IGNORE), call);
      if (done != 0) break;
      if (looks < 100) continue;
      std::this_thread::yield();
      auto const now = clock::now();
      waited += std::min(std::chrono::duration<double>(now - last).count(), longest_look_seconds);
      last = now;
      if (waited > 0.02) std::this_thread::sleep_for(std::chrono::microseconds(50));
      if (limits_.wait_seconds > 0) look_for_missing(waited);
    }
    requests_.clear();
  }

  // Notes are empty messages; their tag says which they are, and which question they belong to.
  enum class note : int { question, answer, missing };
  static constexpr int kinds_of_notes = 3, different_questions = 10'000;

  void send_note(note kind, int question, int to) {
    auto request = MPI_REQUEST_NULL;
    check_mpi(MPI_Isend(nullptr, 0, MPI_BYTE, to, kinds_of_notes * question + static_cast<int>(kind), notes_, &request),
              "MPI_Isend");
    MPI_Request_free(&request);  // a rank that hangs may never receive it
  }
  void send_note_to_others(note kind) {
    for (int r = 0; r < size_; ++r)
      if (r != rank_) send_note(kind, question_, r);
  }
  /// Reads the notes that have come, asks when `waited`, in seconds, is too long, and throws when ranks are missing.
  void look_for_missing(double& waited) {
    for (;;) {
      int is_there = 0;
      MPI_Status from;
      check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, notes_, &is_there, &from), "MPI_Iprobe");
      if (is_there == 0) break;
      check_mpi(MPI_Recv(nullptr, 0, MPI_BYTE, from.MPI_SOURCE, from.MPI_TAG, notes_, &from), "MPI_Recv");
      read_note(note(from.MPI_TAG % kinds_of_notes), from.MPI_TAG / kinds_of_notes, from.MPI_SOURCE, waited);
    }
    if (!asked_at_ && waited > limits_.wait_seconds) {
      question_ = (question_ + 1) % different_questions;
      answered_.assign(to_size(size_), false);
      answered_[to_size(rank_)] = true;
      asked_at_ = waited;
      send_note_to_others(note::question);
    } else if (asked_at_ && std::ranges::find(answered_, false) == answered_.end()) {
      wait_again(waited);
    } else if (asked_at_ && waited - *asked_at_ > grace_seconds) {
      failed_ = true;
      send_note_to_others(note::missing);
      std::vector<index_t> missing;
      for (int r = 0; r < size_; ++r)
        if (!answered_[to_size(r)]) missing.push_back(r);
      raise<rank_missing>(text_of_missing(missing, limits_.wait_seconds));
    }
  }
  void read_note(note kind, int question, int from, double& waited) {
    switch (kind) {
      case note::question:
        send_note(note::answer, question, from);
        if (from < rank_) wait_again(waited);  // one rank is to throw: that one finds who is missing
        break;
      case note::answer:
        if (question == question_ && asked_at_) answered_[to_size(from)] = true;
        break;
      case note::missing:
        failed_ = true;
        raise<other_rank_failed>("rank ", from, " has waited for others for ", limits_.wait_seconds, " s");
    }
  }
  void wait_again(double& waited) {
    asked_at_.reset();
    waited = 0;
  }

  connection_limits limits_;
  MPI_Comm ranks_ = MPI_COMM_NULL, notes_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
  bool reads_cuda_memory_ = mpi_reads_cuda_memory();
  bool failed_ = false;
  std::vector<MPI_Request> requests_;
  int question_ = 0;                // the number of this rank's last one
  std::optional<double> asked_at_;  // after how many seconds of waiting; none: it hasn't, or its question is settled
  std::vector<bool> answered_;      // by rank
};

}  // namespace detail

/// This process as a rank of the world that mpirun, or another launcher of MPI, started. Initializes MPI, unless that
/// was done before, and ends it again.
class mpi_process {
 public:
  /// Throws error if a limit is out of range, or if MPI can't be called by one thread after the other: trainers sum
  /// gradients from a thread of their own.
  explicit mpi_process(connection_limits const& limits = {}) {
    validate(limits);
    int initialized = 0, provided = MPI_THREAD_SINGLE;
    MPI_Initialized(&initialized);
    if (initialized != 0) {
      MPI_Query_thread(&provided);
    } else {
      detail::check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
      owns_mpi_ = true;
    }
    expects(provided >= MPI_THREAD_SERIALIZED,
            "MPI: it was initialized for calls from one thread only, expected at "
            "least MPI_THREAD_SERIALIZED");
    detail::check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &failures_), "MPI_Comm_dup");
    MPI_Comm here = MPI_COMM_NULL;
    detail::check_mpi(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here),
                      "MPI_Comm_split_type");
    MPI_Comm_size(here, &on_host_);
    MPI_Comm_rank(here, &rank_on_host_);
    MPI_Comm_free(&here);
    connection_ = std::make_shared<detail::mpi_rank>(MPI_COMM_WORLD, limits);
  }
  mpi_process(mpi_process const&) = delete;
  mpi_process& operator=(mpi_process const&) = delete;
  ~mpi_process() {
    connection_.reset();
    MPI_Comm_free(&failures_);
    if (owns_mpi_) MPI_Finalize();
  }

  /// The ranks of the world. Its calls, and those of this object, come from one thread at a time.
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
    if (done == 0) end_all(line, status);
  }
  /// Writes `line` and ends the processes of all ranks with `status`.
  [[noreturn]] void end_all(std::string const& line, int status) {
    std::cerr << line << std::endl;
    MPI_Abort(MPI_COMM_WORLD, status);
    std::_Exit(status);
  }
  /// To be called when this rank's collective has thrown other_rank_failed: the rank with the reason ends this process,
  /// too. Should that not happen within ten seconds, ends all with `line`.
  [[noreturn]] void wait_for_end(std::string const& line, int status) {
    std::this_thread::sleep_for(std::chrono::seconds(10));
    end_all(line, status);
  }

 private:
  MPI_Comm failures_ = MPI_COMM_NULL;  // of end_all_unless_all_failed alone
  std::shared_ptr<detail::mpi_rank> connection_;
  int on_host_ = 1, rank_on_host_ = 0;
  bool owns_mpi_ = false;
};

}  // namespace mql4grec::train
