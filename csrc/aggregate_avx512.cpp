// Neighbour sums. A row's accumulators stay in registers while its edges are walked, 64 channels at a time; the gathered rows are read
// packed, as they lie in memory, and asked for some edges ahead.
#include "aggregate_common.h"
#include "kernels_reference.h"
#include "kernels_x86.h"
#include "simd_avx512.h"

namespace degreequant::avx512 {
namespace {

constexpr int64_t kTile = 32;  // channels in two accumulators
constexpr int64_t kMaxTiles = 2;

// A loader gives a tile's codes as int32 in two vectors, of which only the low 16 bits count, and puts the accumulators in channel order.

template <bool kSigned>
struct ByteLoader {
  static constexpr int32_t kOffset = 0;
  static constexpr int64_t kTileBytes = kTile;

  DEGREEQUANT_INLINE static __m512i widen(__m128i bytes) noexcept {
    return kSigned ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes);
  }

  template <bool kMasked>
  DEGREEQUANT_INLINE static void load(const uint8_t* p, uint32_t mask, __m512i codes[2]) noexcept {
    if constexpr (kMasked) {
      codes[0] = widen(_mm_maskz_loadu_epi8(static_cast<__mmask16>(mask), p));
      codes[1] = widen(_mm_maskz_loadu_epi8(static_cast<__mmask16>(mask >> 16), p + 16));
    } else {
      codes[0] = widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
      codes[1] = widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16)));
    }
  }

  DEGREEQUANT_INLINE static void order(__m512i[2]) noexcept {}
};

// Even channels in one vector, odd channels in the other. Signed codes are offset by 8, which costs no more than clearing the other nibble.
template <bool kSigned>
struct NibbleLoader {
  static constexpr int32_t kOffset = kSigned ? 8 : 0;
  static constexpr int64_t kTileBytes = kTile / 2;

  DEGREEQUANT_INLINE static __m512i low_nibbles(__m128i bytes) noexcept {
    const __m128i nibbles = _mm_and_si128(bytes, _mm_set1_epi8(15));
    return _mm512_cvtepu8_epi32(kSigned ? _mm_xor_si128(nibbles, _mm_set1_epi8(8)) : nibbles);
  }

  template <bool kMasked>
  DEGREEQUANT_INLINE static void load(const uint8_t* p, uint32_t mask, __m512i codes[2]) noexcept {
    const __m128i bytes =
        kMasked ? _mm_maskz_loadu_epi8(static_cast<__mmask16>(mask), p) : _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    codes[0] = low_nibbles(bytes);
    codes[1] = low_nibbles(_mm_srli_epi16(bytes, 4));
  }

  DEGREEQUANT_INLINE static void order(__m512i acc[2]) noexcept {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    const __m512i even = acc[0];
    acc[0] = _mm512_permutex2var_epi32(even, low, acc[1]);
    acc[1] = _mm512_permutex2var_epi32(even, high, acc[1]);
  }
};

// Channels [first, first + count) of one row; all of kTiles tiles unless kMasked.
template <typename Loader, int kTiles, bool kMasked>
DEGREEQUANT_INLINE void aggregate_block(const Aggregation& a, int64_t row, int64_t first, int64_t count) noexcept {
  const int64_t block_bytes = kMasked ? row_bytes(a.sum.x.type, count) : kTiles * Loader::kTileBytes;
  const uint64_t byte_mask = first_lanes(block_bytes);
  const uint8_t* base = a.sum.x.data + row_bytes(a.sum.x.type, first);
  __m512i acc[kTiles][2] = {};
  int32_t coefficient_sum = 0;
  for (int64_t e = a.sum.csr.indptr[row]; e < a.sum.csr.indptr[row + 1]; ++e) {
    prefetch(a, base, block_bytes, e);
    const int64_t source = a.sum.csr.indices[e];
    const int32_t coefficient = a.sum.coefficient(e, source);
    coefficient_sum += coefficient;
    const __m512i factor = _mm512_set1_epi32(coefficient & 0xffff);  // the upper half multiplies the sign bits of the code: by 0
    const uint8_t* p = base + source * a.stride;
    for (int t = 0; t < kTiles; ++t) {
      __m512i codes[2];
      const uint32_t mask = static_cast<uint32_t>(byte_mask >> (t * Loader::kTileBytes));
      Loader::template load<kMasked>(p + t * Loader::kTileBytes, mask, codes);
      acc[t][0] = _mm512_dpwssd_epi32(acc[t][0], codes[0], factor);
      acc[t][1] = _mm512_dpwssd_epi32(acc[t][1], codes[1], factor);
    }
  }
  // The offset's sum may have wrapped around; the difference, which fits, has not.
  const __m512i offset = _mm512_set1_epi32(static_cast<int32_t>(Loader::kOffset * static_cast<uint32_t>(coefficient_sum)));
  for (int t = 0; t < kTiles; ++t) {
    Loader::order(acc[t]);
    for (int half = 0; half < 2; ++half) {
      const int64_t lane = t * kTile + half * kLanes;
      if (kMasked && lane >= count) return;
      const int64_t lanes = kMasked ? count - lane : kLanes;
      const __mmask16 mask = static_cast<__mmask16>(first_lanes(lanes));
      const Multiplier16 m = load_multiplier16(a.rule, row, first + lane, mask);
      const __m512i addend = load_addend16(a.rule, first + lane, mask);
      const __m512i codes = requantize16(_mm512_sub_epi32(acc[t][half], offset), m, addend, a.rule.clamp);
      store16(a.out.type, a.out.data + row * a.out_stride, first + lane, lanes, codes);
    }
  }
}

template <typename Loader>
void aggregate_rows(const Aggregation& a, int64_t begin, int64_t end) noexcept {
  for (int64_t row = begin; row < end; ++row) {
    if (needs_wide(a, row)) {
      a.reference_row(row);
      continue;
    }
    int64_t first = 0;
    for (; first + kMaxTiles * kTile <= a.sum.x.cols; first += kMaxTiles * kTile) aggregate_block<Loader, 2, false>(a, row, first, 0);
    const int64_t left = a.sum.x.cols - first;
    if (left == kTile) {
      aggregate_block<Loader, 1, false>(a, row, first, left);
    } else if (left > kTile) {
      aggregate_block<Loader, 2, true>(a, row, first, left);
    } else if (left > 0) {
      aggregate_block<Loader, 1, true>(a, row, first, left);
    }
  }
}

}  // namespace

void aggregate(const NeighbourSum& sum, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept {
  if (sum.zero_point != 0 || sum.self_coefficient != 0 || sum.edge_shift != 0)
    return reference::aggregate(sum, requantize, out, begin, end);
  const Aggregation a = make_aggregation(sum, requantize, out, end);
  switch (sum.x.type) {
    case CodeType::i4:
      return aggregate_rows<NibbleLoader<true>>(a, begin, end);
    case CodeType::u4:
      return aggregate_rows<NibbleLoader<false>>(a, begin, end);
    case CodeType::i8:
      return aggregate_rows<ByteLoader<true>>(a, begin, end);
    case CodeType::u8:
      return aggregate_rows<ByteLoader<false>>(a, begin, end);
    default:
      return reference::aggregate(sum, requantize, out, begin, end);
  }
}

}  // namespace degreequant::avx512
