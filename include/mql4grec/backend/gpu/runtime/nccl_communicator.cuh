#pragma once
// Data-parallel training on several GPUs, one process per GPU: gradients are summed with NCCL. Needs <nccl.h> and
// -lnccl; no other header includes this file.
#include <nccl.h>

#include <memory>
#include <span>
#include <vector>

#include "mql4grec/backend/gpu/gpu.hpp"
#include "mql4grec/backend/gpu/runtime/cuda_system.cuh"

namespace mql4grec::gpu {

/// A Communicator over NCCL; see train/communicator.hpp. All processes must use the same id: rank 0 creates it with
/// ncclGetUniqueId and sends it to the others by other means (a file, MPI, a socket).
class nccl_communicator {
 public:
  /// Joins the communicator as `rank` of `size` processes, on the device of `b`. Blocks until all processes have
  /// joined. Throws error for a rank outside [0, size) or when NCCL fails.
  nccl_communicator(backend<cuda>& b, ncclUniqueId const& id, index_t rank, index_t size) : rank_(rank), size_(size) {
    expects(rank >= 0 && rank < size, "NCCL: rank ", rank, " of ", size, " processes");
    b.context().make_current();
    ncclComm_t made = nullptr;
    check(ncclCommInitRank(&made, static_cast<int>(size), id, static_cast<int>(rank)), "ncclCommInitRank");
    communicator_ = std::shared_ptr<ncclComm>(made, [](ncclComm_t one) { ncclCommDestroy(one); });
  }

  /// This process' number, in [0, world_size()).
  index_t rank() const { return rank_; }
  /// The number of processes.
  index_t world_size() const { return size_; }

  /// Replaces `values` by their sum over all processes, in the order of the backend's work; doesn't wait.
  template <class T>
    requires(std::same_as<T, float> || std::same_as<T, double>)
  void all_reduce(backend<cuda>& b, view<T, device_space<cuda>, 1> values) const {
    check(
        ncclAllReduce(values.data, values.data, to_size(values.size()), std::same_as<T, float> ? ncclFloat : ncclDouble,
                      ncclSum, communicator_.get(), b.context().stream()),
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

 private:
  static void check(ncclResult_t status, char const* call) {
    expects(status == ncclSuccess, "NCCL: ", call, ": ", ncclGetErrorString(status));
  }

  std::shared_ptr<ncclComm> communicator_;
  index_t rank_, size_;
};

}  // namespace mql4grec::gpu
