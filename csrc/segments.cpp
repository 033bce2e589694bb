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
    for (const Read& read : outline.reads) level = std::max(level, (read.reach == Reach::any ? complete_at : rows_at)[read.tensor]);
    levels.push_back(level);
    if (outline.writes == kNone) continue;
    complete_at[outline.writes] = level + 1;
    rows_at[outline.writes] = outline.written == Reach::any ? level + 1 : level;
  }
  return levels;
}

bool spans(const Outline& outline) {
  const auto is_spanned = [](const Read& read) { return read.reach == Reach::spanned; };
  return outline.written == Reach::spanned || std::any_of(outline.reads.begin(), outline.reads.end(), is_spanned);
}

// Steps of one level and one kind of rows, level by level; those of edges together with those of the nodes that they arrive at, where one
// of these reads or writes their rows.
class Grouping {
 public:
  Grouping(const std::vector<Outline>& outlines, const std::vector<int32_t>& levels, const std::vector<Span>& spans)
      : outlines_(outlines), levels_(levels) {
    for (const Span& span : spans) of_edges_.emplace(span.edges, span);
    for (size_t i = 0; i < outlines.size(); ++i) {
      if (degreequant::spans(outlines[i])) together_.emplace(levels[i], outlines[i].rows);
    }
  }

  std::vector<Segment> segments() const {
    std::map<std::pair<int32_t, SpaceId>, Segment> groups;
    for (size_t i = 0; i < outlines_.size(); ++i) {
      const Outline& outline = outlines_[i];
      const EdgesId along = along_of(levels_[i], outline.rows);
      const SpaceId rows = along == kNone ? outline.rows : of_edges_.at(outline.rows).nodes;
      Segment& segment = groups[{levels_[i], rows}];
      segment.steps.push_back({static_cast<int32_t>(i), along});
      segment.rows = rows;
      const bool known = std::find(segment.along.begin(), segment.along.end(), along) != segment.along.end();
      if (along != kNone && !known) segment.along.push_back(along);
      (along == kNone ? segment.row_work : segment.edge_work) += outline.row_work;
      segment.edge_work += outline.edge_work;
      if (segment.edges == kNone) segment.edges = along == kNone ? outline.edges : along;
    }
    std::vector<Segment> segments;
    for (auto& [key, segment] : groups) segments.push_back(std::move(segment));
    return segments;
  }

  // The form along which rows of this kind are computed at that level; kNone where by themselves.
  EdgesId along_of(int32_t level, SpaceId rows) const {
    const auto span = of_edges_.find(rows);
    return span != of_edges_.end() && together_.contains({level, span->second.nodes}) ? span->second.form : kNone;
  }

 private:
  const std::vector<Outline>& outlines_;
  const std::vector<int32_t>& levels_;
  std::map<SpaceId, Span> of_edges_;
  std::set<std::pair<int32_t, SpaceId>> together_;  // levels, and nodes whose edges' rows are at hand there
};

std::vector<Lifetime> lifetimes_of(const std::vector<Segment>& segments, const std::vector<Outline>& outlines,
                                   const std::vector<TensorFacts>& tensors) {
  std::vector<Lifetime> lifetimes(tensors.size());
  for (size_t t = 0; t < tensors.size(); ++t) lifetimes[t].local = !tensors[t].kept;
  for (size_t s = 0; s < segments.size(); ++s) {
    const int32_t number = static_cast<int32_t>(s);
    for (const Counted& step : segments[s].steps) {
      const Outline& outline = outlines[step.id];
      if (outline.writes != kNone) {
        Lifetime& written = lifetimes[outline.writes];
        written.first = number;
        written.last = std::max(written.last, number);
        // What counts other rows than those that it writes has no rows at hand, unless these are the edges of its own.
        written.local = written.local && outline.written != Reach::any;
      }
      for (const Read& read : outline.reads) {
        Lifetime& used = lifetimes[read.tensor];
        used.last = std::max(used.last, number);
        used.local = used.local && read.reach != Reach::any;
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
  for (const Counted& step : segment.steps) {
    const Outline& outline = outlines[step.id];
    if (outline.writes != kNone) {
      const EdgesId along = outline.written == Reach::spanned ? outline.edges : step.along;
      if (lifetimes[outline.writes].local) segment.local.push_back({outline.writes, along});
      touched.insert(outline.writes);
    }
    for (const Read& read : outline.reads) {
      if (read.reach != Reach::any) touched.insert(read.tensor);
    }
  }
  int64_t row_bytes = 1;
  for (const TensorId tensor : touched) row_bytes += tensors[tensor].row_bytes;
  const int64_t rows = kBlockBytes / row_bytes / kMinBlockRows * kMinBlockRows;
  segment.block_rows = std::clamp(rows, kMinBlockRows, kMaxBlockRows);
}

}  // namespace

Schedule schedule(const std::vector<Outline>& outlines, const std::vector<TensorFacts>& tensors, const std::vector<Span>& spans) {
  const std::vector<int32_t> levels = levels_of(outlines, tensors);
  Schedule result;
  result.segments = Grouping(outlines, levels, spans).segments();
  result.lifetimes = lifetimes_of(result.segments, outlines, tensors);
  for (Segment& segment : result.segments) size_block(segment, outlines, tensors, result.lifetimes);
  return result;
}

}  // namespace degreequant
