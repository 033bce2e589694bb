// Rows over threads: contiguous blocks that depend only on the arguments. The kernels compute each row by itself, so the result depends
// neither on the number of threads nor on which of them computes a block.
#pragma once

#include <algorithm>
#include <cstdint>

#include "threads.h"

namespace degreequant {

constexpr int64_t kUnitsPerBlock = 1 << 17;  // less work than this is done sooner than a thread wakes
constexpr int64_t kBlocksPerThread = 8;      // so that a thread that was held up leaves its blocks to the others
constexpr int64_t kRowCost = 8;              // what a row costs beside its edges, counted in edges

struct Work {
  int64_t rows;
  int64_t units;                    // of the whole, roughly bytes moved
  const int64_t* indptr = nullptr;  // balance the blocks by these edges; null: all rows cost the same
};

// First row of block `block` out of `blocks`.
inline int64_t block_begin(const Work& work, int64_t block, int64_t blocks) noexcept {
  if (block == blocks) return work.rows;
  if (work.indptr == nullptr) return static_cast<int64_t>(static_cast<double>(work.rows) * block / blocks);
  const auto cost_before = [&](int64_t row) { return work.indptr[row] + kRowCost * row; };
  const int64_t target = static_cast<int64_t>(static_cast<double>(cost_before(work.rows)) * block / blocks);
  int64_t low = 0;
  int64_t high = work.rows;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (cost_before(middle) < target) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// How many blocks to make of the work; no more threads than blocks are of use.
inline int64_t block_count(const Work& work, int64_t threads) noexcept {
  const int64_t wanted = threads == 1 ? 1 : threads * kBlocksPerThread;
  return std::max<int64_t>(1, std::min({wanted, work.rows, 1 + work.units / kUnitsPerBlock}));
}

// Calls body(begin, end, worker), which must not throw, on blocks that cover [0, work.rows) once; returns when all are done. No two threads
// have the same worker in [0, threads).
template <typename Body>
void run_workers(const Work& work, int64_t threads, const Body& body) {
  const int64_t blocks = block_count(work, threads);
  if (blocks == 1) {
    body(int64_t{0}, work.rows, int64_t{0});
    return;
  }
  ThreadPool::instance().run(blocks, threads, [&](int64_t block, int64_t worker) {
    body(block_begin(work, block, blocks), block_begin(work, block + 1, blocks), worker);
  });
}

// The same where it does not matter who works.
template <typename Body>
void run(const Work& work, int64_t threads, const Body& body) {
  run_workers(work, threads, [&](int64_t begin, int64_t end, int64_t) { body(begin, end); });
}

}  // namespace degreequant
