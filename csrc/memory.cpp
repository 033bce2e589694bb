#include "memory.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace degreequant {
namespace {

constexpr int64_t kHugePage = int64_t{1} << 21;

}  // namespace

int64_t gathered_stride(int64_t row_bytes) noexcept {
  if (row_bytes <= kAlignment) return row_bytes;
  for (const int64_t vector : {32, 16}) {
    const int64_t stride = (row_bytes + vector - 1) / vector * vector;
    if (8 * (stride - row_bytes) <= row_bytes) return stride;
  }
  return row_bytes;
}

void Buffer::Free::operator()(uint8_t* data) const noexcept { std::free(data); }

uint8_t* Buffer::reserve(int64_t bytes) {
  if (bytes <= capacity_) return data_.get();
  data_.reset();
  capacity_ = 0;
  const int64_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
  const int64_t rounded = (bytes + alignment - 1) / alignment * alignment;
  data_.reset(static_cast<uint8_t*>(std::aligned_alloc(static_cast<size_t>(alignment), static_cast<size_t>(rounded))));
  if (data_ == nullptr) throw std::bad_alloc();
  capacity_ = rounded;
#ifdef __linux__
  // Rows are gathered from all over it: with small pages most of them would miss the TLB too.
  if (alignment == kHugePage) madvise(data_.get(), static_cast<size_t>(rounded), MADV_HUGEPAGE);
#endif
  return data_.get();
}

Layout lay_out(const std::vector<Interval>& intervals) {
  Layout layout;
  layout.offsets.reserve(intervals.size());
  std::vector<std::pair<int64_t, int64_t>> taken;  // begin and end of the tensors that are needed at once with this one
  for (size_t i = 0; i < intervals.size(); ++i) {
    taken.clear();
    for (size_t j = 0; j < i; ++j) {
      const bool together = intervals[j].first <= intervals[i].last && intervals[i].first <= intervals[j].last;
      if (together) taken.emplace_back(layout.offsets[j], layout.offsets[j] + aligned(intervals[j].bytes));
    }
    std::sort(taken.begin(), taken.end());
    int64_t offset = 0;
    for (const auto& [begin, end] : taken) {
      if (offset + aligned(intervals[i].bytes) <= begin) break;
      offset = std::max(offset, end);
    }
    layout.offsets.push_back(offset);
    layout.bytes = std::max(layout.bytes, offset + aligned(intervals[i].bytes));
  }
  return layout;
}

}  // namespace degreequant
