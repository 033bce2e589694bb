#include "threads.h"

#include <algorithm>
#include <system_error>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define DEGREEQUANT_FORKS
#endif

namespace degreequant {
namespace {

constexpr int kSpins = 2000;  // a few microseconds: about what a thread that is taken off the CPU needs to come back

// Never destroyed: its threads may still wait in it when the process ends.
ThreadPool* pool = nullptr;

void make_pool() { pool = new ThreadPool; }

// The child of a fork has none of the threads, and maybe a locked mutex: it starts anew.
bool start() {
  make_pool();
#ifdef DEGREEQUANT_FORKS
  pthread_atfork(nullptr, nullptr, make_pool);
#endif
  return true;
}

}  // namespace

ThreadPool& ThreadPool::instance() {
  [[maybe_unused]] static const bool started = start();
  return *pool;
}

void ThreadPool::run(Job& job) {
  if (job.helpers > 0) post(job);
  drain(job, 0);
  if (job.helpers > 0) withdraw(job);
}

void ThreadPool::drain(Job& job, int64_t worker) {
  for (;;) {
    const int64_t chunk = job.next.fetch_add(1, std::memory_order_relaxed);
    if (chunk >= job.chunks) return;
    job.call(job.context, chunk, worker);
  }
}

void ThreadPool::post(Job& job) {
  const std::lock_guard lock(mutex_);
  jobs_.push_back(&job);
  start_threads();
  if (job.helpers == 1) {
    posted_.notify_one();
  } else {
    posted_.notify_all();
  }
}

// As many idle threads as could join the jobs; where no more are to be had, the callers do more.
void ThreadPool::start_threads() {
  int64_t wanted = 0;
  for (const Job* job : jobs_) wanted += job->helpers - job->joined;
  try {
    for (; idle_ < wanted; ++idle_) std::thread([this] { help(); }).detach();
  } catch (const std::system_error&) {
  }
}

// Lets no one else join, and waits for those who did.
void ThreadPool::withdraw(Job& job) {
  {
    const std::lock_guard lock(mutex_);
    std::erase(jobs_, &job);
  }
  for (int spin = 0; spin < kSpins; ++spin) {
    if (job.active.load(std::memory_order_acquire) == 0) return;
  }
  std::unique_lock lock(mutex_);
  left_.wait(lock, [&job] { return job.active.load(std::memory_order_acquire) == 0; });
}

// The life of a thread of the pool; it counts as idle from before it starts.
void ThreadPool::help() {
  std::unique_lock lock(mutex_);
  for (;;) {
    posted_.wait(lock, [this] { return !jobs_.empty(); });
    Job& job = *jobs_.front();
    const int64_t worker = ++job.joined;
    if (job.joined == job.helpers) jobs_.erase(jobs_.begin());
    job.active.fetch_add(1, std::memory_order_relaxed);
    --idle_;
    lock.unlock();
    drain(job, worker);
    lock.lock();
    ++idle_;
    if (job.active.fetch_sub(1, std::memory_order_release) == 1) left_.notify_all();  // the job may be gone from here on
  }
}

}  // namespace degreequant
