#if defined(__linux__)
// A library may run generated code on a stack of its own; a signal's frame would then be written to the heap.
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
char const *stack_begin = nullptr, *stack_end = nullptr;
volatile sig_atomic_t inside = 0, outside = 0;

extern "C" void look_where_we_are(int) {
  char here = 0;
  char const* const address = &here;
  if (address >= stack_begin && address < stack_end)
    inside = inside + 1;
  else
    outside = outside + 1;
}

void find_this_threads_stack() {
  ::pthread_attr_t attributes;
  REQUIRE(::pthread_getattr_np(::pthread_self(), &attributes) == 0);
  void* begin = nullptr;
  std::size_t size = 0;
  ::pthread_attr_getstack(&attributes, &begin, &size);
  ::pthread_attr_destroy(&attributes);
  stack_begin = static_cast<char const*>(begin);
  stack_end = stack_begin + size;
}
}  // namespace

TEST_CASE("matmul on the cpu: signals are handled on the thread's own stack") {
  find_this_threads_stack();
  cpu::backend backend;
  auto const a = on(backend, constant({257, 128}, 1.f)), b = on(backend, constant({128, 260}, 1.f));
  auto c = poisoned<float>(backend, {257, 260});
  struct sigaction action = {}, before = {};
  action.sa_handler = look_where_we_are;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGALRM, &action, &before);
  std::atomic<bool> done{false};
  std::thread disturber([&, target = ::pthread_self()] {  // a timer's signal could interrupt any thread
    while (!done) {
      ::pthread_kill(target, SIGALRM);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  for (int i = 0; i < 20'000 && inside + outside < 50; ++i) matmul<float>(backend, a, b, c, {});
  done = true;
  disturber.join();
  ::sigaction(SIGALRM, &before, nullptr);
  CHECK(inside > 0);
  CHECK(outside == 0);
  CHECK_CLOSE(c, constant({257, 260}, 128.f), 0);
}
#endif
