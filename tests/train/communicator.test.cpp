#include "mql4grec/train/communicator.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <typeinfo>
#include <utility>
#include <vector>

#include "mql4grec/train/check_communicator.hpp"
#include "mql4grec/train/exchange.hpp"
#include "mql4grec/train/threads.hpp"
#include "support/backends.hpp"

using namespace mql4grec;

TEST_CASE_TEMPLATE("communicators: a single process", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  train::single_process alone;
  train::check_communicator<float>(b, alone);
  train::check_communicator<double>(b, alone);
  train::host_communicator unconnected;
  train::check_communicator<float>(b, unconnected);
}

TEST_CASE_TEMPLATE("communicators: threads", B, MQL4GREC_TEST_BACKENDS) {
  for (index_t ranks : {1, 2, 3, 4}) {
    std::atomic<index_t> numbers{0};
    train::run_on_threads(ranks, [&](train::host_communicator communicator) {
      B b;
      CHECK(communicator.world_size() == ranks);
      numbers += index_t{1} << communicator.rank();
      train::check_communicator<float>(b, communicator);
      train::check_communicator<double>(b, communicator);
    });
    CHECK(numbers == (index_t{1} << ranks) - 1);
  }
}

#if MQL4GREC_HAS_THRUST
namespace {
/// A connection that reads device memory: that of the portable systems is the host's.
class in_place final : public train::rank_connection {
 public:
  in_place(train::detail::meeting_point& where, index_t rank) : connection_(where, rank) {}
  index_t rank() const override { return connection_.rank(); }
  index_t world_size() const override { return connection_.world_size(); }
  bool reads_device_memory(std::type_info const& space) const override {
    return space == typeid(device_space<gpu::omp>);
  }
  void all_reduce(train::host_values values) override {
    seen = values.data;
    connection_.all_reduce(values);
  }
  void all_gather(train::host_values values, std::span<index_t const> offsets) override {
    seen = values.data;
    connection_.all_gather(values, offsets);
  }
  void all_to_all(train::host_values sent, std::span<index_t const> offsets, train::host_values received,
                  std::span<index_t const> received_offsets) override {
    seen = sent.data;
    connection_.all_to_all(sent, offsets, received, received_offsets);
  }
  void const* seen = nullptr;

 private:
  train::detail::thread_rank connection_;
};
}  // namespace

TEST_CASE_TEMPLATE(
    "communicators: a connection gets the parts in a device memory that it reads where they are, and others, and sums, "
    "in host memory",
    System, gpu::cpp, gpu::omp) {
  using device = gpu::backend<System>;
  bool const is_read = std::same_as<System, gpu::omp>;
  train::detail::meeting_point where(2, {});
  auto const run = [&](index_t rank) {
    device b;
    auto const connection = std::make_shared<in_place>(where, rank);
    train::host_communicator communicator(connection);
    train::check_communicator<float>(b, communicator);
    auto values = b.template allocate<float>(4);
    std::vector<index_t> const halves = {0, 2, 4};
    communicator.all_reduce(b, values.view_all());
    CHECK(connection->seen != values.view_all().data);
    communicator.all_gather(b, values.view_all(), std::span(halves));
    CHECK((connection->seen == values.view_all().data) == is_read);
    connection->seen = nullptr;
    auto received = b.template allocate<float>(4);
    communicator.all_to_all(b, std::as_const(values).view_all(), std::span(halves), received.view_all(),
                            std::span(halves));
    CHECK((connection->seen == values.view_all().data) == is_read);
  };
  std::jthread const other(run, 1);
  run(0);
}
#endif

TEST_CASE("exchange: values of any type, parts of different sizes, are gathered and sent in the order of the ranks") {
  struct entry {
    std::int16_t rank, place;
    char letter;
    bool operator==(entry const&) const = default;
  };
  for (index_t ranks : {1, 2, 3}) {
    train::run_on_threads(ranks, [&](train::host_communicator communicator) {
      auto const rank = communicator.rank();
      auto const entries_of = [](index_t from, index_t n) {
        std::vector<entry> all;
        for (index_t i = 0; i < n; ++i)
          all.push_back({static_cast<std::int16_t>(from), static_cast<std::int16_t>(i), static_cast<char>('a' + i)});
        return all;
      };
      std::vector<entry> expected, sent, received;
      std::vector<index_t> offsets = {0};
      for (index_t r = 0; r < ranks; ++r) {
        auto const part = entries_of(r, 3 * r);
        expected.insert(expected.end(), part.begin(), part.end());
        auto const to_r = entries_of(rank, rank + 2 * r), from_r = entries_of(r, r + 2 * rank);
        sent.insert(sent.end(), to_r.begin(), to_r.end());
        received.insert(received.end(), from_r.begin(), from_r.end());
        offsets.push_back(std::ssize(sent));
      }
      CHECK(train::gather<entry>(communicator, entries_of(rank, 3 * rank)) == expected);
      CHECK(train::exchange<entry>(communicator, sent, offsets) == received);
      CHECK(train::of_first_rank(communicator, rank + 5) == 5);
      CHECK(train::sum_of_ranks(communicator, rank + 1) == ranks * (ranks + 1) / 2);
      CHECK_NOTHROW(train::expect_equal(communicator, "it", ~std::uint64_t{0}));
    });
  }
  CHECK_THROWS_WITH_AS(train::run_on_threads(3,
                                             [](train::host_communicator communicator) {
                                               train::expect_equal(communicator, "it",
                                                                   communicator.rank() == 2 ? 1u << 31 : 0);
                                             }),
                       "rank 2: it is not the same as on rank 0", error);
}

TEST_CASE("communicators: a rank that fails ends the waiting of the others, and its error is thrown") {
  for (index_t bad : {0, 1, 2}) {
    std::atomic<int> ended{0};
    auto const work = [&](train::host_communicator communicator) {
      struct count {
        std::atomic<int>& ended;
        ~count() { ++ended; }
      } const counted{ended};
      reference::backend b;
      double number = 1;
      for (int step = 0;; ++step) {
        if (step == 5 && communicator.rank() == bad) raise<training_error>("out of luck at step ", step);
        communicator.all_reduce(b, std::span(&number, 1));
      }
    };
    CHECK_THROWS_WITH_AS(train::run_on_threads(3, work), "out of luck at step 5", training_error);
    CHECK(ended == 3);
  }
  CHECK_THROWS_AS(train::run_on_threads(0, [](auto const&) {}), error);
}

TEST_CASE("communicators: ranks that disagree about a size are told so") {
  CHECK_THROWS_WITH_AS(train::run_on_threads(2,
                                             [](train::host_communicator communicator) {
                                               reference::backend b;
                                               std::vector<double> numbers(communicator.rank() == 0 ? 3 : 2, 1.0);
                                               communicator.all_reduce(b, std::span(numbers));
                                             }),
                       doctest::Contains("values and rank"), error);
}

TEST_CASE("communicators: unequal values name the first rank that has another one than rank 0") {
  for (index_t other : {1, 2}) {
    auto const work = [&](train::host_communicator communicator) {
      reference::backend b;
      train::expect_equal(communicator, b, "the file a.json", 7);
      train::expect_equal(communicator, b, "the file b.json", communicator.rank() >= other ? 1u << 31 : 9);
    };
    CHECK_THROWS_WITH_AS(train::run_on_threads(3, work),
                         ("rank " + std::to_string(other) + ": the file b.json is not the same as on rank 0").c_str(),
                         error);
  }
}

TEST_CASE("communicators: a rank that doesn't come in time is named, and ends the others") {
  for (index_t late : {0, 2}) {
    std::atomic<int> told{0};
    std::latch others(2);
    auto const work = [&](train::host_communicator communicator) {
      using namespace std::chrono_literals;
      reference::backend b;
      double number = 1;
      if (communicator.rank() == late)  // until the others have given up
        for (int i = 0; i < 60'000 && told < 2; ++i) std::this_thread::sleep_for(1ms);
      else
        others.arrive_and_wait();  // their threads may start at different times
      try {
        communicator.all_reduce(b, std::span(&number, 1));
      } catch (error const&) {
        ++told;
        throw;
      }
    };
    CHECK_THROWS_WITH_AS(train::run_on_threads(3, work, {.wait_seconds = 0.5}),
                         ("rank " + std::to_string(late) + " has not answered for 0.5 s").c_str(), train::rank_missing);
    CHECK(told == 3);
  }
  CHECK_THROWS_AS(train::run_on_threads(1, [](auto const&) {}, {.wait_seconds = -1}), error);
}

TEST_CASE("communicators: a rank that is late, but not too late, is waited for") {
  train::run_on_threads(2,
                        [](train::host_communicator communicator) {
                          reference::backend b;
                          for (int i = 0; i < 3; ++i) {
                            if (communicator.rank() == i % 2)
                              std::this_thread::sleep_for(std::chrono::milliseconds(20));
                            double number = 1;
                            communicator.all_reduce(b, std::span(&number, 1));
                            CHECK(number == 2);
                          }
                        },
                        {.wait_seconds = 60});
}

TEST_CASE("communicators: ranks that have met aren't told of a failure after it") {
  train::detail::meeting_point where(2, {});
  std::jthread const other([&] { CHECK_NOTHROW(where.meet(1)); });
  where.meet(0);
  where.fail("later");
  CHECK_THROWS_WITH_AS(where.meet(0), "later", train::other_rank_failed);
}

TEST_CASE("communicators: a rank that reads for longer than the limit is waited for") {
  train::detail::meeting_point where(2, {.wait_seconds = 0.01});
  std::atomic<bool> has_read{false};
  std::jthread const reader([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    has_read = true;
    where.part();
  });
  CHECK_NOTHROW(where.part());
  CHECK(has_read);
}
