// Attention in float32: the weights of a chunk of a row's edges are computed once, then summed with their sources' rows.
#pragma once

#include "float_math.h"
#include "float_rows.h"

namespace degreequant {

constexpr int64_t kHeadGroup = 128;    // heads whose weights are held at once
constexpr int64_t kWeightRoom = 4096;  // of one chunk of edges

// The softmax weights of one row for the heads [first, first + count), a chunk of edges at a time.
template <typename Lanes>
struct FloatSoftmax {
  using Vector = typename Lanes::Vector;

  const FloatAttention& attention;
  int64_t row = 0;
  int64_t first = 0;
  int64_t count = 0;

  DEGREEQUANT_INLINE explicit FloatSoftmax(const FloatAttention& of) noexcept : attention(of) {}

  float target[kHeadGroup + kHeadPadding];
  float largest[kHeadGroup + kHeadPadding];
  float total[kHeadGroup + kHeadPadding];
  float weight[kWeightRoom + kHeadPadding];  // [edge][head]

  DEGREEQUANT_INLINE int64_t chunk() const noexcept { return kWeightRoom / count; }
  DEGREEQUANT_INLINE int64_t edges() const noexcept { return attention.csr.indptr[row + 1] - attention.csr.indptr[row]; }
  DEGREEQUANT_INLINE bool in_one_chunk() const noexcept { return edges() <= chunk(); }

  // Lanes from head `first + h` on of an edge's logit.
  DEGREEQUANT_INLINE Vector logit(int64_t edge, int64_t h) const noexcept {
    const int64_t heads = attention.heads;
    const float* source = attention.logits + attention.csr.indices[edge] * 2 * heads + first + h;
    Vector sum = Lanes::add(Lanes::load_some(source, count - h), Lanes::load(target + h));
    if (attention.edge_logits != nullptr) {
      sum = Lanes::add(sum, Lanes::load_some(attention.edge_logits + edge * heads + first + h, count - h));
    }
    return Lanes::where_less(sum, Lanes::set(0.0F), Lanes::multiply(sum, Lanes::set(attention.slope)), sum);
  }

  // Finds the largest logit of each head; where one chunk holds all edges, computes their weights.
  [[gnu::noinline]] void begin(int64_t of_row) noexcept {
    row = of_row;
    const float* half = attention.logits + (2 * row + 1) * attention.heads + first;
    for (int64_t h = 0; h < count; h += Lanes::kLanes) {
      Lanes::store(target + h, Lanes::load_some(half + h, count - h));
      Vector most = Lanes::set(-__builtin_inff());
      for (int64_t e = attention.csr.indptr[row]; e < attention.csr.indptr[row + 1]; ++e) most = Lanes::maximum(logit(e, h), most);
      Lanes::store(largest + h, most);
    }
    forget_total();
    if (in_one_chunk()) weigh(attention.csr.indptr[row], attention.csr.indptr[row + 1]);
  }

  DEGREEQUANT_INLINE void forget_total() noexcept {
    for (int64_t h = 0; h < count; h += Lanes::kLanes) Lanes::store(total + h, Lanes::set(0.0F));
  }

  // Computes the weights of the edges [begin, end), a chunk at most, and adds them to the total. Whole vectors are stored: what lies
  // behind an edge's heads is overwritten by the next edge.
  [[gnu::noinline]] void weigh(int64_t begin, int64_t end) noexcept {
    for (int64_t e = begin; e < end; ++e) {
      for (int64_t h = 0; h < count; h += Lanes::kLanes) {
        Lanes::store(weight + (e - begin) * count + h, Lanes::subtract(logit(e, h), Lanes::load(largest + h)));
      }
    }
    for (int64_t i = 0; i < (end - begin) * count; i += Lanes::kLanes) {
      Lanes::store(weight + i, FloatMath<Lanes>::exp(Lanes::load(weight + i)));
    }
    for (int64_t h = 0; h < count; h += Lanes::kLanes) {
      Vector sum = Lanes::load(total + h);
      for (int64_t e = 0; e < end - begin; ++e) sum = Lanes::add(sum, Lanes::load(weight + e * count + h));
      Lanes::store(total + h, sum);
    }
  }
};

// The weighted means of the columns [first, first + count), in `acc`.
template <typename Lanes, typename Block>
DEGREEQUANT_INLINE void float_mean_block(FloatSoftmax<Lanes>& softmax, const RowPrefetcher& prefetcher,
                                         const ColumnBlock<Lanes, Block>& columns, typename Lanes::Vector acc[]) noexcept {
  const FloatAttention& a = softmax.attention;
  typename Lanes::Index index[Block::kVectors];
  int64_t head[Block::kVectors];  // of the vector's first lane, counted from the group's first
  for (int v = 0; v < Block::kVectors; ++v) {
    const int32_t* of = a.head_of_column + columns.first + v * Lanes::kLanes;
    head[v] = *of - softmax.first;
    index[v] = Lanes::load_index(of, *of);
    acc[v] = Lanes::set(0.0F);
  }
  const bool one_chunk = softmax.in_one_chunk();
  if (!one_chunk) softmax.forget_total();
  const int64_t end = a.csr.indptr[softmax.row + 1];
  for (int64_t begin = a.csr.indptr[softmax.row]; begin < end; begin += softmax.chunk()) {
    const int64_t stop = begin + softmax.chunk() < end ? begin + softmax.chunk() : end;
    if (!one_chunk) softmax.weigh(begin, stop);
    for (int64_t e = begin; e < stop; ++e) {
      prefetcher.ask_block<Lanes, Block>(a.x, columns.first, e);
      const float* source = a.x.data + a.csr.indices[e] * a.x.cols;
      const float* weight = softmax.weight + (e - begin) * softmax.count;
      for (int v = 0; v < Block::kVectors; ++v) {
        acc[v] = Lanes::fma(Lanes::pick(weight + head[v], index[v]), columns.load(source, v), acc[v]);
      }
    }
  }
  if (softmax.edges() == 0) return;
  for (int v = 0; v < Block::kVectors; ++v) acc[v] = Lanes::divide(acc[v], Lanes::pick(softmax.total + head[v], index[v]));
}

// Calls f(columns, acc) for blocks of the weighted means of a group of heads.
template <typename Lanes, typename F>
DEGREEQUANT_INLINE void float_means(FloatSoftmax<Lanes>& softmax, const RowPrefetcher& prefetcher, F f) noexcept {
  const int64_t channels = softmax.attention.channels();
  const int64_t begin = softmax.first * channels;
  for_vector_blocks<Lanes, half_of<Lanes>()>(begin, begin + softmax.count * channels,
                                             [&](auto block, int64_t first, int64_t count) DEGREEQUANT_INLINE_LAMBDA {
                                               const ColumnBlock<Lanes, decltype(block)> columns = {first, count};
                                               typename Lanes::Vector acc[block.kVectors];
                                               float_mean_block<Lanes, decltype(block)>(softmax, prefetcher, columns, acc);
                                               f(columns, acc);
                                             });
}

// One row, the heads side by side.
template <typename Lanes>
DEGREEQUANT_INLINE void float_attend_concat(FloatSoftmax<Lanes>& softmax, const FloatFinish& finish, const RowPrefetcher& prefetcher,
                                            float* target, int64_t row) noexcept {
  const int64_t heads = softmax.attention.heads;
  for (softmax.first = 0; softmax.first < heads; softmax.first += kHeadGroup) {
    softmax.count = heads - softmax.first < kHeadGroup ? heads - softmax.first : kHeadGroup;
    softmax.begin(row);
    float_means(softmax, prefetcher, [&](auto columns, typename Lanes::Vector* acc) DEGREEQUANT_INLINE_LAMBDA {
      for (int v = 0; v < columns.kVectors; ++v) columns.store(target, v, columns.finish(finish, v, acc[v]));
    });
  }
}

// One row, the mean of the heads: their sum is built up in the output, head by head.
template <typename Lanes>
DEGREEQUANT_INLINE void float_attend_mean(FloatSoftmax<Lanes>& softmax, const FloatFinish& finish, const RowPrefetcher& prefetcher,
                                          float* target, int64_t row) noexcept {
  const int64_t heads = softmax.attention.heads;
  softmax.count = 1;
  for (softmax.first = 0; softmax.first < heads; ++softmax.first) {
    softmax.begin(row);
    float_means(softmax, prefetcher, [&](auto columns, typename Lanes::Vector* acc) DEGREEQUANT_INLINE_LAMBDA {
      auto outputs = columns;
      outputs.first -= softmax.first * softmax.attention.channels();
      for (int v = 0; v < columns.kVectors; ++v) {
        auto sum = softmax.first == 0 ? acc[v] : Lanes::add(outputs.load(target, v), acc[v]);
        if (softmax.first == heads - 1) sum = outputs.finish(finish, v, Lanes::divide(sum, Lanes::set(static_cast<float>(heads))));
        outputs.store(target, v, sum);
      }
    });
  }
}

template <typename Lanes>
void float_attend(const FloatAttention& attention, const FloatFinish& finish, MutableFloats out, int64_t begin, int64_t end) noexcept {
  const RowPrefetcher prefetcher(attention.csr, end);
  FloatSoftmax<Lanes> softmax(attention);
  for (int64_t row = begin; row < end; ++row) {
    float* target = out.data + row * out.cols;
    if (attention.average) {
      float_attend_mean(softmax, finish, prefetcher, target, row);
    } else {
      float_attend_concat(softmax, finish, prefetcher, target, row);
    }
  }
}

}  // namespace degreequant
