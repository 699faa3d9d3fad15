#pragma once
// Data-parallel training on several GPUs, one rank per GPU: gradients are summed with NCCL. Needs <nccl.h> and -lnccl;
// no other header includes this file.
#include <nccl.h>

#include <exception>
#include <memory>
#include <span>
#include <vector>

#include "mql4grec/backend/gpu/gpu.hpp"
#include "mql4grec/backend/gpu/runtime/cuda_system.cuh"

namespace mql4grec::gpu {

/// A Communicator over NCCL; see train/communicator.hpp. All ranks must use the same id, which rank 0 creates: they get
/// it through another communicator, or by other means (a file, a socket).
class nccl_communicator {
 public:
  /// Joins the communicator as `rank` of `size` processes, on the device of `b`. Blocks until all processes have
  /// joined. Throws error for a rank outside [0, size), and device_error when NCCL fails; so do all calls.
  nccl_communicator(backend<cuda>& b, ncclUniqueId const& id, index_t rank, index_t size) : rank_(rank), size_(size) {
    expects(rank >= 0 && rank < size, "NCCL: rank ", rank, " of ", size, " processes");
    b.context().make_current();
    ncclComm_t made = nullptr;
    check(ncclCommInitRank(&made, static_cast<int>(size), id, static_cast<int>(rank)), "ncclCommInitRank");
    communicator_ = std::shared_ptr<ncclComm>(made, [](ncclComm_t one) {
      // ncclCommDestroy waits for calls that, after a failure, other ranks may never join
      std::uncaught_exceptions() > 0 ? ncclCommAbort(one) : ncclCommDestroy(one);
    });
  }

  /// Joins the ranks of another communicator, over which rank 0 sends the id. For example a
  /// host_communicator over MPI.
  template <class Comm>
  nccl_communicator(backend<cuda>& b, Comm& others)
      : nccl_communicator(b, shared_id(b, others), others.rank(), others.world_size()) {}

  /// This rank's number, in [0, world_size()).
  index_t rank() const { return rank_; }
  /// The number of ranks.
  index_t world_size() const { return size_; }

  /// Replaces `values` by their sum over all ranks, in the order of the backend's work; doesn't wait.
  template <class T>
    requires(std::same_as<T, float> || std::same_as<T, double>)
  void all_reduce(backend<cuda>& b, view<T, device_space<cuda>, 1> values) const {
    check(ncclAllReduce(values.data, values.data, to_size(values.size()), type_of<T>(), ncclSum, communicator_.get(),
                        b.context().stream()),
          "ncclAllReduce");
  }
  /// The same for numbers in host memory; waits for the result.
  void all_reduce(backend<cuda>& b, std::span<double> numbers) const {
    scratch_scope<backend<cuda>> const scope(b.scratch());
    auto const place = take<double>(b, std::ssize(numbers));
    upload<double>(b, view_of(std::span<double const>(numbers)), place);
    all_reduce(b, place);
    cuda::download(b.context(), place.data, numbers.data(), numbers.size_bytes());
  }

  /// Gives every rank the parts of all, in the order of the backend's work; doesn't wait.
  template <class T>
    requires(std::same_as<T, float> || std::same_as<T, double>)
  void all_gather(backend<cuda>& b, view<T, device_space<cuda>, 1> values, std::span<index_t const> offsets) const {
    together([&] {
      for (index_t r = 0; r < size_; ++r) {  // parts may have different sizes, which ncclAllGather doesn't have
        auto const part = part_of(values, offsets, r);
        check(ncclBroadcast(part.data, part.data, to_size(part.size()), type_of<T>(), static_cast<int>(r),
                            communicator_.get(), b.context().stream()),
              "ncclBroadcast");
      }
    });
  }
  /// Sends a part to each rank and receives one from each, in the order of the backend's work; doesn't wait.
  template <class T>
    requires(std::same_as<T, float> || std::same_as<T, double>)
  void all_to_all(backend<cuda>& b, view<T const, device_space<cuda>, 1> sent, std::span<index_t const> offsets,
                  view<T, device_space<cuda>, 1> received, std::span<index_t const> received_offsets) const {
    together([&] {
      for (index_t r = 0; r < size_; ++r) {
        auto const from = part_of(sent, offsets, r);
        auto const to = part_of(received, received_offsets, r);
        check(ncclSend(from.data, to_size(from.size()), type_of<T>(), static_cast<int>(r), communicator_.get(),
                       b.context().stream()),
              "ncclSend");
        check(ncclRecv(to.data, to_size(to.size()), type_of<T>(), static_cast<int>(r), communicator_.get(),
                       b.context().stream()),
              "ncclRecv");
      }
    });
  }

 private:
  template <class T>
  static ncclDataType_t type_of() {
    return std::same_as<T, float> ? ncclFloat : ncclDouble;
  }
  template <class T>
  static view<T, device_space<cuda>, 1> part_of(view<T, device_space<cuda>, 1> values, std::span<index_t const> offsets,
                                                index_t r) {
    return values.part(offsets[to_size(r)], offsets[to_size(r + 1)] - offsets[to_size(r)]);
  }
  /// Starts the calls of work() at once.
  template <class Work>
  static void together(Work const& work) {
    check(ncclGroupStart(), "ncclGroupStart");
    try {
      work();
    } catch (...) {
      ncclGroupEnd();  // otherwise all later calls of this thread would be added to the group
      throw;
    }
    check(ncclGroupEnd(), "ncclGroupEnd");
  }
  /// Rank 0's new id, on every rank.
  template <class Comm>
  static ncclUniqueId shared_id(backend<cuda>& b, Comm& others) {
    ncclUniqueId id = {};
    if (others.rank() == 0) check(ncclGetUniqueId(&id), "ncclGetUniqueId");
    std::vector<double> bytes;  // zeros of all ranks but the first: the sum is exact
    for (char const byte : id.internal) bytes.push_back(static_cast<unsigned char>(byte));
    others.all_reduce(b, std::span(bytes));
    for (std::size_t i = 0; i < bytes.size(); ++i) id.internal[i] = static_cast<char>(static_cast<int>(bytes[i]));
    return id;
  }
  static void check(ncclResult_t status, char const* call) {
    if (status != ncclSuccess) raise<device_error>("NCCL: ", call, ": ", ncclGetErrorString(status));
  }

  std::shared_ptr<ncclComm> communicator_;
  index_t rank_, size_;
};

}  // namespace mql4grec::gpu
