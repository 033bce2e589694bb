// Work without the GIL, so that other threads of Python go on meanwhile.
#pragma once

#include <nanobind/nanobind.h>

namespace degreequant {

// Gives the GIL up while it lives. A process that ends waits for the threads that have one: a daemon thread that came back for the GIL of
// an interpreter that is gone would be unwound through our frames, which ends the process with an error. Work that begins later keeps the
// GIL.
class Unlocked {
 public:
  Unlocked();
  ~Unlocked();
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

 private:
  PyThreadState* state_ = nullptr;  // null: the GIL is kept
};

// Registers the wait with the interpreter; once for each module.
void wait_at_exit();

}  // namespace degreequant
