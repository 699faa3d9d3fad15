#include "support/backends.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <set>
#include <stdexcept>

using namespace mql4grec;

TEST_CASE("team: every member does the task exactly once, numbered from 0") {
  cpu::team team(4);
  CHECK(team.size() == 4);
  std::atomic<int> times[4] = {};
  for (int round = 0; round < 500; ++round) team.run([&](index_t number) { ++times[number]; });
  for (auto const& count : times) CHECK(count == 500);
}

TEST_CASE("team: an exception of any member reaches the caller when all have finished, and the team lives on") {
  cpu::team team(3);
  for (index_t thrower : {0, 1, 2}) {
    std::atomic<int> finished = 0;
    auto const task = [&](index_t number) {
      if (number == thrower) throw std::runtime_error("number " + std::to_string(number));
      ++finished;
    };
    CHECK_THROWS_WITH_AS(team.run(task), ("number " + std::to_string(thrower)).c_str(), std::runtime_error);
    CHECK(finished == 2);
  }
  std::atomic<int> finished = 0;
  team.run([&](index_t) { ++finished; });
  CHECK(finished == 3);
}

TEST_CASE("team: when all members throw, one exception arrives") {
  cpu::team team(3);
  CHECK_THROWS_AS(team.run([](index_t) { throw std::runtime_error("each"); }), std::runtime_error);
}

TEST_CASE("team: of one is the caller alone") {
  cpu::team team(1);
  std::thread::id who;
  team.run([&](index_t) { who = std::this_thread::get_id(); });
  CHECK(who == std::this_thread::get_id());
}

TEST_CASE("team: may end without having worked") { CHECK(cpu::team(3).size() == 3); }

TEST_CASE("for_each_lane: hands each lane itself, with scratch of its own") {
  cpu::backend backend(3);
  CHECK(backend.lanes() == 3);
  std::array<cpu::backend*, 3> seen{};
  std::array<float*, 3> scratch{};
  for_each_lane(backend, [&](cpu::backend& lane, index_t number) {
    scratch_scope<cpu::backend> const scope(lane.scratch());
    seen[static_cast<std::size_t>(number)] = &lane;
    scratch[static_cast<std::size_t>(number)] = lane.scratch().take<float>(10).data;
  });
  CHECK(seen[0] == &backend);
  for (index_t number = 0; number < 3; ++number) CHECK(seen[static_cast<std::size_t>(number)] == &backend.lane(number));
  CHECK(std::set<float*>(scratch.begin(), scratch.end()).size() == 3);
}

TEST_CASE("for_each_lane: an exception of a lane reaches the caller") {
  cpu::backend backend(2);
  CHECK_THROWS_AS(for_each_lane(backend, [](cpu::backend&, index_t number) { expects(number == 0, "lane ", number); }), error);
}

TEST_CASE_TEMPLATE("for_each_lane: a backend made without a number of threads has one lane, on the caller's thread", B,
                   MQL4GREC_TEST_BACKENDS) {
  B backend;
  CHECK(backend.lanes() == 1);
  int visits = 0;
  for_each_lane(backend, [&](B& lane, index_t number) { visits += &lane == &backend && number == 0; });
  CHECK(visits == 1);
}

TEST_CASE("backend: asked for no number of threads it takes the machine's, and it can be moved") {
  cpu::backend one(0);
  CHECK(one.lanes() == static_cast<index_t>(std::max(1u, std::thread::hardware_concurrency())));
  index_t const lanes = one.lanes();
  cpu::backend other = std::move(one);
  std::atomic<index_t> visits = 0;
  for_each_lane(other, [&](cpu::backend&, index_t) { ++visits; });
  CHECK(visits == lanes);
}
