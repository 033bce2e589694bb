#include "gil.h"

#include <chrono>
#include <cstdint>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define DEGREEQUANT_FORKS
#endif

namespace degreequant {
namespace {

// Both are read and written by who has the GIL.
int64_t unlocked = 0;
bool ending = false;

void end() {
  ending = true;
  while (unlocked > 0) {
    const nanobind::gil_scoped_release release;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// The child of a fork has none of the threads that were at work.
[[maybe_unused]] void forget() { unlocked = 0; }

}  // namespace

Unlocked::Unlocked() {
  if (ending) return;
  ++unlocked;
  state_ = PyEval_SaveThread();
}

Unlocked::~Unlocked() {
  if (state_ == nullptr) return;
  PyEval_RestoreThread(state_);
  --unlocked;
}

void wait_at_exit() {
  nanobind::module_::import_("atexit").attr("register")(nanobind::cpp_function(end));
#ifdef DEGREEQUANT_FORKS
  pthread_atfork(nullptr, nullptr, forget);
#endif
}

}  // namespace degreequant
