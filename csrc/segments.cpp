#include "segments.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace degreequant {
namespace {

constexpr int64_t kBlockBytes = 96 << 10;  // of the rows at hand: a share of the second-level cache, beside weights and gathered rows
constexpr int64_t kMinBlockRows = 32;      // fewer, and the packed weights are read too often
constexpr int64_t kMaxBlockRows = 1024;

// A step's level: how many times something had to be complete before it can begin.
std::vector<int32_t> levels_of(const std::vector<Outline>& outlines, const std::vector<TensorFacts>& tensors) {
  std::vector<int32_t> rows_at(tensors.size(), 0);      // the level from which a tensor can be read row by row
  std::vector<int32_t> complete_at(tensors.size(), 0);  // the level from which all its rows are there
  std::vector<int32_t> levels;
  levels.reserve(outlines.size());
  for (const Outline& outline : outlines) {
    int32_t level = 0;
    for (const Read& read : outline.reads) level = std::max(level, (read.gathered ? complete_at : rows_at)[read.tensor]);
    levels.push_back(level);
    if (outline.writes == kNone) continue;
    complete_at[outline.writes] = level + 1;
    rows_at[outline.writes] = outline.rows == tensors[outline.writes].space ? level : level + 1;
  }
  return levels;
}

// Steps of one level and one kind of rows, level by level.
std::vector<Segment> group(const std::vector<Outline>& outlines, const std::vector<int32_t>& levels) {
  std::map<std::pair<int32_t, SpaceId>, Segment> groups;
  for (size_t i = 0; i < outlines.size(); ++i) {
    const Outline& outline = outlines[i];
    Segment& segment = groups[{levels[i], outline.rows}];
    segment.steps.push_back(static_cast<int32_t>(i));
    segment.rows = outline.rows;
    segment.row_work += outline.row_work;
    segment.edge_work += outline.edge_work;
    if (segment.edges == kNone) segment.edges = outline.edges;
  }
  std::vector<Segment> segments;
  for (auto& [key, segment] : groups) segments.push_back(std::move(segment));
  return segments;
}

std::vector<Lifetime> lifetimes_of(const std::vector<Segment>& segments, const std::vector<Outline>& outlines,
                                   const std::vector<TensorFacts>& tensors) {
  std::vector<Lifetime> lifetimes(tensors.size());
  for (size_t t = 0; t < tensors.size(); ++t) lifetimes[t].local = !tensors[t].kept;
  for (size_t s = 0; s < segments.size(); ++s) {
    const int32_t number = static_cast<int32_t>(s);
    for (const int32_t step : segments[s].steps) {
      if (outlines[step].writes != kNone) {
        Lifetime& written = lifetimes[outlines[step].writes];
        written.first = number;
        written.last = std::max(written.last, number);
        // What counts other rows than those that it writes, as a softmax that goes from node to node, has no rows at hand.
        written.local = written.local && outlines[step].rows == tensors[outlines[step].writes].space;
      }
      for (const Read& read : outlines[step].reads) {
        Lifetime& used = lifetimes[read.tensor];
        used.last = std::max(used.last, number);
        used.local = used.local && !read.gathered;
      }
    }
  }
  for (size_t t = 0; t < tensors.size(); ++t) {
    Lifetime& lifetime = lifetimes[t];
    lifetime.local = lifetime.local && lifetime.first != kNone && lifetime.first == lifetime.last;
    if (tensors[t].kept) lifetime.last = static_cast<int32_t>(segments.size());
  }
  return lifetimes;
}

// The local tensors of a segment, and how many rows of all that its steps touch row by row fit a block.
void size_block(Segment& segment, const std::vector<Outline>& outlines, const std::vector<TensorFacts>& tensors,
                const std::vector<Lifetime>& lifetimes) {
  std::set<TensorId> touched;
  for (const int32_t step : segment.steps) {
    const Outline& outline = outlines[step];
    if (outline.writes != kNone) {
      if (lifetimes[outline.writes].local) segment.local.push_back(outline.writes);
      touched.insert(outline.writes);
    }
    for (const Read& read : outline.reads) {
      if (!read.gathered) touched.insert(read.tensor);
    }
  }
  int64_t row_bytes = 1;
  for (const TensorId tensor : touched) row_bytes += tensors[tensor].row_bytes;
  const int64_t rows = kBlockBytes / row_bytes / kMinBlockRows * kMinBlockRows;
  segment.block_rows = std::clamp(rows, kMinBlockRows, kMaxBlockRows);
}

}  // namespace

Schedule schedule(const std::vector<Outline>& outlines, const std::vector<TensorFacts>& tensors) {
  Schedule result;
  result.segments = group(outlines, levels_of(outlines, tensors));
  result.lifetimes = lifetimes_of(result.segments, outlines, tensors);
  for (Segment& segment : result.segments) size_block(segment, outlines, tensors, result.lifetimes);
  return result;
}

}  // namespace degreequant
