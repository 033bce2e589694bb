// Memory of a call: one aligned block, on huge pages where it is large, and where the tensors lie in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace degreequant {

constexpr int64_t kAlignment = 64;  // of every tensor: a cache line, and the widest vector

constexpr int64_t aligned(int64_t bytes) noexcept { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Bytes from a row of `row_bytes` bytes to the next, where rows are gathered from all over a tensor: with rows of several cache lines a
// multiple of a vector, so that few loads straddle two lines, if that makes the tensor little larger. (Whole lines for every row were
// measured to be slower: what the larger tensor misses in the caches costs more than what straddles.)
int64_t gathered_stride(int64_t row_bytes) noexcept;

// Bytes from a row to the next where nothing but the row may lie in what kernels read of it: vectors of up to 16 codes of two bytes.
constexpr int64_t kVectorBytes = 32;
constexpr int64_t whole_vectors(int64_t row_bytes) noexcept { return (row_bytes + kVectorBytes - 1) / kVectorBytes * kVectorBytes; }

// Uninitialised bytes that grow and never shrink; what they held is lost when they grow.
class Buffer {
 public:
  uint8_t* reserve(int64_t bytes);
  int64_t capacity() const noexcept { return capacity_; }

 private:
  struct Free {
    void operator()(uint8_t* data) const noexcept;
  };
  std::unique_ptr<uint8_t, Free> data_;
  int64_t capacity_ = 0;
};

// A tensor that is needed from the segment `first` to the segment `last`.
struct Interval {
  int64_t bytes;
  int32_t first;
  int32_t last;
};

// Offsets at which no two tensors that are needed at once overlap, in the order given, each the lowest there is; and the bytes of all.
struct Layout {
  std::vector<int64_t> offsets;
  int64_t bytes = 0;
};
Layout lay_out(const std::vector<Interval>& intervals);

}  // namespace degreequant
