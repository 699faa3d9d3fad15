#include "support/backends.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <set>
#include <stdexcept>
#include <thread>

using namespace mql4grec;

TEST_CASE("thread pool: every thread executes the task exactly once, numbered from 0") {
  cpu::thread_pool pool(4);
  CHECK(pool.size() == 4);
  std::atomic<int> times[4] = {};
  for (int round = 0; round < 500; ++round) pool.run([&](index_t number) { ++times[number]; });
  for (auto const& count : times) CHECK(count == 500);
}

TEST_CASE("thread pool: an exception of any thread is rethrown after all have finished, and the pool remains usable") {
  cpu::thread_pool pool(3);
  for (index_t thrower : {0, 1, 2}) {
    std::atomic<int> finished = 0;
    auto const task = [&](index_t number) {
      if (number == thrower) throw std::runtime_error("number " + std::to_string(number));
      ++finished;
    };
    CHECK_THROWS_WITH_AS(pool.run(task), ("number " + std::to_string(thrower)).c_str(), std::runtime_error);
    CHECK(finished == 2);
  }
  std::atomic<int> finished = 0;
  pool.run([&](index_t) { ++finished; });
  CHECK(finished == 3);
}

TEST_CASE("thread pool: when all threads throw, one exception is rethrown") {
  cpu::thread_pool pool(3);
  CHECK_THROWS_AS(pool.run([](index_t) { throw std::runtime_error("each"); }), std::runtime_error);
}

TEST_CASE("thread pool: a pool of one thread uses the calling thread") {
  cpu::thread_pool pool(1);
  std::thread::id who;
  pool.run([&](index_t) { who = std::this_thread::get_id(); });
  CHECK(who == std::this_thread::get_id());
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they reserve memory for each thread
TEST_CASE("thread pool: if a thread can't be started, the others end, and the error has both numbers") {
  index_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit usual{};
  REQUIRE(getrlimit(RLIMIT_AS, &usual) == 0);
  rlimit const small{.rlim_cur = to_size(pages * sysconf(_SC_PAGESIZE)) + (64u << 20), .rlim_max = usual.rlim_max};
  REQUIRE(setrlimit(RLIMIT_AS, &small) == 0);
  std::string what;
  try {
    cpu::thread_pool const pool(1000);  // their stacks need more than 64 MiB
  } catch (error const& e) {
    what = e.what();
  }
  setrlimit(RLIMIT_AS, &usual);
  CHECK(what.starts_with("a pool of 1000 threads: only "));
  CHECK(cpu::thread_pool(3).size() == 3);
}
#endif

TEST_CASE("thread pool: may be destroyed without having executed a task") { CHECK(cpu::thread_pool(3).size() == 3); }

TEST_CASE("for_each_worker: passes each worker, with its own scratch memory") {
  cpu::backend backend(3);
  CHECK(backend.workers() == 3);
  std::array<cpu::backend*, 3> seen{};
  std::array<float*, 3> scratch{};
  for_each_worker(backend, [&](cpu::backend& worker, index_t number) {
    scratch_scope<cpu::backend> const scope(worker.scratch());
    seen[static_cast<std::size_t>(number)] = &worker;
    scratch[static_cast<std::size_t>(number)] = take<float>(worker, 10).data;
  });
  CHECK(seen[0] == &backend);
  for (index_t number = 0; number < 3; ++number)
    CHECK(seen[static_cast<std::size_t>(number)] == &backend.worker(number));
  CHECK(std::set<float*>(scratch.begin(), scratch.end()).size() == 3);
}

TEST_CASE("for_each_worker: rethrows an exception of a worker") {
  cpu::backend backend(2);
  CHECK_THROWS_AS(
      for_each_worker(backend, [](cpu::backend&, index_t number) { expects(number == 0, "worker ", number); }), error);
}

TEST_CASE_TEMPLATE("for_each_worker: a default-constructed backend has one worker, on the calling thread", B,
                   MQL4GREC_TEST_BACKENDS) {
  B backend;
  CHECK(backend.workers() == 1);
  int visits = 0;
  for_each_worker(backend, [&](B& worker, index_t number) { visits += &worker == &backend && number == 0; });
  CHECK(visits == 1);
}

TEST_CASE("backend: 0 threads means all hardware threads, and a backend can be moved") {
  cpu::backend one(0);
  CHECK(one.workers() == static_cast<index_t>(std::max(1u, std::thread::hardware_concurrency())));
  index_t const workers = one.workers();
  cpu::backend other = std::move(one);
  std::atomic<index_t> visits = 0;
  for_each_worker(other, [&](cpu::backend&, index_t) { ++visits; });
  CHECK(visits == workers);
}
