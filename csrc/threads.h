// The threads that help a caller: one pool for the process, asleep while there is nothing to do.
//
// A call that wants more than one thread posts a job; threads of the pool that are awake in time take chunks of it, and the caller takes
// those that nobody took. So a caller never waits for a thread to start, and many callers at once have no more threads at work than each of
// them asked for. After a fork the child has a pool of its own.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

namespace degreequant {

class ThreadPool {
 public:
  // The pool of this process.
  static ThreadPool& instance();

  // Calls body(chunk, worker) once for each chunk in [0, chunks), from this thread and from at most threads - 1 others; returns when all
  // are done. No two threads have the same worker, which is in [0, threads). The body must not throw.
  template <typename Body>
  void run(int64_t chunks, int64_t threads, const Body& body) {
    Job job{.call = [](const void* context, int64_t chunk, int64_t worker) { (*static_cast<const Body*>(context))(chunk, worker); },
            .context = &body,
            .chunks = chunks,
            .helpers = threads < chunks ? threads - 1 : chunks - 1};
    run(job);
  }

 private:
  struct Job {
    void (*call)(const void* context, int64_t chunk, int64_t worker);
    const void* context;
    int64_t chunks;
    int64_t helpers;                // at most so many may join
    int64_t joined = 0;             // so many did, under the mutex
    std::atomic<int64_t> next = 0;  // the first chunk that nobody took
    std::atomic<int64_t> active = 0;
  };

  void run(Job& job);
  void post(Job& job);
  void withdraw(Job& job);
  void start_threads();
  void help();
  static void drain(Job& job, int64_t worker);

  std::mutex mutex_;
  std::condition_variable posted_;
  std::condition_variable left_;
  std::vector<Job*> jobs_;  // that more helpers may join
  int64_t idle_ = 0;
};

}  // namespace degreequant
