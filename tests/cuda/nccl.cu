// The NCCL communicator in a world of one rank: the collectives do what they must, and a training in it is one without.
#include <doctest/doctest.h>

#include "mql4grec/backend/gpu/runtime/nccl_communicator.cuh"
#include "mql4grec/gpu.cuh"
#include "mql4grec/train/check_communicator.hpp"
#include "mql4grec/train/host_communicator.hpp"
#include "support/check_close.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

using device = gpu::backend<gpu::cuda>;
static_assert(train::Communicator<gpu::nccl_communicator, device, float>);
static_assert(train::Communicator<gpu::nccl_communicator, device, double>);

namespace {
gpu::nccl_communicator world_of_one(device& b) {
  train::host_communicator const alone;
  return {b, alone};
}
}  // namespace

TEST_CASE("NCCL: the collectives of a world of one rank") {
  device b;
  auto const world = world_of_one(b);
  CHECK((world.rank() == 0 && world.world_size() == 1));
  train::check_communicator<float>(b, world);
  train::check_communicator<double>(b, world);
  CHECK_THROWS_AS(gpu::nccl_communicator(b, ncclUniqueId{}, 1, 1), error);
}

TEST_CASE("NCCL: training with a world size of 1 equals training without NCCL") {
  device b;
  auto const all = small_batch();
  auto mine = random_t5<double>(b, tiny_t5()), expected = random_t5<double>(b, tiny_t5());
  trainer<device, double, gpu::nccl_communicator> together(b, mine, {}, world_of_one(b));
  trainer<device, double> single(b, expected, {});
  for (int step = 0; step < 3; ++step) CHECK(together.step(all, 1e-2) == single.step(all, 1e-2));
  CHECK_CLOSE(mine.parameters(), fetched(expected.parameters()), 0);
}
