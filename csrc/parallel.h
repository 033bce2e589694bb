// Rows over threads: contiguous blocks that depend only on the arguments. The kernels compute each row by itself, so the result does
// not depend on the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

namespace degreequant {

constexpr int64_t kUnitsPerThread = 65536;  // less work than this is done sooner than a thread starts
constexpr int64_t kRowCost = 8;             // what a row costs beside its edges, counted in edges

struct Work {
  int64_t rows;
  int64_t units;                    // of the whole, roughly bytes moved
  const int64_t* indptr = nullptr;  // balance the blocks by these edges; null: all rows cost the same
};

// First row of block `block` out of `blocks`.
inline int64_t block_begin(const Work& work, int64_t block, int64_t blocks) noexcept {
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

// Calls body(begin, end), which must not throw, on blocks that cover [0, work.rows) once; returns when all are done.
template <typename Body>
void run(const Work& work, int64_t threads, const Body& body) {
  const int64_t blocks = std::min({threads, work.rows, 1 + work.units / kUnitsPerThread});
  if (blocks <= 1) {
    body(int64_t{0}, work.rows);
    return;
  }
  std::vector<std::thread> others;
  others.reserve(static_cast<size_t>(blocks - 1));
  for (int64_t block = 1; block < blocks; ++block) {
    const int64_t begin = block_begin(work, block, blocks);
    const int64_t end = block + 1 == blocks ? work.rows : block_begin(work, block + 1, blocks);
    try {
      others.emplace_back([&body, begin, end] { body(begin, end); });
    } catch (const std::system_error&) {
      body(begin, end);  // no thread to be had: the caller does it
    }
  }
  body(int64_t{0}, block_begin(work, 1, blocks));
  for (std::thread& other : others) other.join();
}

}  // namespace degreequant
