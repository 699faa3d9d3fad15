// The NCCL communicator in a world of one process: sums are what one process brings, and a training in it is one
// without.
#include <doctest/doctest.h>

#include "mql4grec/backend/gpu/runtime/nccl_communicator.cuh"
#include "mql4grec/gpu.cuh"
#include "support/check_close.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

using device = gpu::backend<gpu::cuda>;
static_assert(train::Communicator<gpu::nccl_communicator, device, float>);
static_assert(train::Communicator<gpu::nccl_communicator, device, double>);

namespace {
gpu::nccl_communicator world_of_one(device& b) {
  ncclUniqueId id;
  REQUIRE(ncclGetUniqueId(&id) == ncclSuccess);
  return {b, id, 0, 1};
}
}  // namespace

TEST_CASE("NCCL: with one process the sum is its own value") {
  device b;
  auto const world = world_of_one(b);
  CHECK((world.rank() == 0 && world.world_size() == 1));
  auto values = b.allocate<float>(1000);
  fill<float>(b, values.view_all(), 0.5f);
  world.all_reduce(b, values.view_all());
  CHECK(sum<float>(b, values.view_all()) == 500);
  double numbers[] = {1.25, -3};
  world.all_reduce(b, std::span(numbers));
  CHECK((numbers[0] == 1.25 && numbers[1] == -3));
  CHECK_THROWS_AS(gpu::nccl_communicator(b, {}, 1, 1), error);
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
