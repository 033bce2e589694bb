// Neighbour sums. A row's accumulators stay in registers while its edges are walked, 32 or 64 channels at a time; the gathered rows are
// read packed, as they lie in memory, and asked for some edges ahead.
#include "aggregate_common.h"
#include "kernels_reference.h"
#include "kernels_x86.h"
#include "simd_avx2.h"

namespace degreequant::avx2 {
namespace {

constexpr int64_t kTile = 32;  // channels in four accumulators
constexpr int64_t kMaxTiles = 2;

// A loader gives a tile's codes as int32 in four vectors, of which only the low 16 bits count, and puts the accumulators in channel order.

template <bool kSigned>
struct ByteLoader {
  static constexpr int32_t kOffset = 0;
  static constexpr int64_t kTileBytes = kTile;

  DEGREEQUANT_INLINE static void load(const uint8_t* p, __m256i codes[4]) noexcept {
    for (int i = 0; i < 4; ++i) {
      const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 8 * i));
      codes[i] = kSigned ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
    }
  }

  DEGREEQUANT_INLINE static void order(__m256i[4]) noexcept {}
};

// Even channels in the first two vectors, odd channels in the others. Signed codes are offset by 8, cheaper than extending their sign.
template <bool kSigned>
struct NibbleLoader {
  static constexpr int32_t kOffset = kSigned ? 8 : 0;
  static constexpr int64_t kTileBytes = kTile / 2;

  DEGREEQUANT_INLINE static __m128i low_nibbles(__m128i bytes) noexcept {
    const __m128i nibbles = _mm_and_si128(bytes, _mm_set1_epi8(15));
    return kSigned ? _mm_xor_si128(nibbles, _mm_set1_epi8(8)) : nibbles;
  }

  DEGREEQUANT_INLINE static void load(const uint8_t* p, __m256i codes[4]) noexcept {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i even = low_nibbles(bytes);
    const __m128i odd = low_nibbles(_mm_srli_epi16(bytes, 4));
    codes[0] = _mm256_cvtepu8_epi32(even);
    codes[1] = _mm256_cvtepu8_epi32(_mm_srli_si128(even, 8));
    codes[2] = _mm256_cvtepu8_epi32(odd);
    codes[3] = _mm256_cvtepu8_epi32(_mm_srli_si128(odd, 8));
  }

  DEGREEQUANT_INLINE static void order(__m256i acc[4]) noexcept {
    const __m256i even[2] = {acc[0], acc[1]};
    const __m256i odd[2] = {acc[2], acc[3]};
    for (int i = 0; i < 2; ++i) {
      const __m256i low = _mm256_unpacklo_epi32(even[i], odd[i]);
      const __m256i high = _mm256_unpackhi_epi32(even[i], odd[i]);
      acc[2 * i] = _mm256_permute2x128_si256(low, high, 0x20);
      acc[2 * i + 1] = _mm256_permute2x128_si256(low, high, 0x31);
    }
  }
};

// Where to read `wanted` bytes of which the first `used` matter: in place, or from a copy where they would reach beyond the matrix.
DEGREEQUANT_INLINE const uint8_t* readable(const uint8_t* p, int64_t used, int64_t wanted, const uint8_t* matrix_end,
                                           uint8_t* copy) noexcept {
  if (matrix_end - p >= wanted) return p;
  for (int64_t i = 0; i < used; ++i) copy[i] = p[i];
  return copy;
}

// Channels [first, first + count) of one row; all of kTiles tiles unless kPartial.
template <typename Loader, int kTiles, bool kPartial>
DEGREEQUANT_INLINE void aggregate_block(const Aggregation& a, int64_t row, int64_t first, int64_t count) noexcept {
  constexpr int64_t kBytes = kTiles * Loader::kTileBytes;
  const int64_t used = kPartial ? row_bytes(a.sum.x.type, count) : kBytes;
  const uint8_t* base = a.sum.x.data + row_bytes(a.sum.x.type, first);
  const uint8_t* matrix_end = a.sum.x.data + a.sum.x.rows * a.stride;
  uint8_t copy[kMaxTiles * kTile] = {};
  __m256i acc[kTiles][4] = {};
  int32_t coefficient_sum = 0;
  for (int64_t e = a.sum.csr.indptr[row]; e < a.sum.csr.indptr[row + 1]; ++e) {
    prefetch(a, base, used, e);
    const int64_t source = a.sum.csr.indices[e];
    const int32_t coefficient = a.sum.coefficient(e, source);
    coefficient_sum += coefficient;
    const __m256i factor = _mm256_set1_epi32(coefficient & 0xffff);  // the upper half multiplies the sign bits of the code: by 0
    const uint8_t* p = base + source * a.stride;
    if (kPartial) p = readable(p, used, kBytes, matrix_end, copy);
    for (int t = 0; t < kTiles; ++t) {
      __m256i codes[4];
      Loader::load(p + t * Loader::kTileBytes, codes);
      for (int i = 0; i < 4; ++i) acc[t][i] = _mm256_add_epi32(acc[t][i], _mm256_madd_epi16(codes[i], factor));
    }
  }
  // The offset's sum may have wrapped around; the difference, which fits, has not.
  const __m256i offset = _mm256_set1_epi32(static_cast<int32_t>(Loader::kOffset * static_cast<uint32_t>(coefficient_sum)));
  for (int t = 0; t < kTiles; ++t) {
    Loader::order(acc[t]);
    for (int i = 0; i < 4; ++i) {
      const int64_t lane = t * kTile + i * kLanes;
      if (kPartial && lane >= count) return;
      const int64_t lanes = kPartial ? count - lane : kLanes;
      const Multiplier8 m = load_multiplier8(a.rule, row, first + lane, lanes);
      const __m256i addend = load_addend8(a.rule, first + lane, lanes);
      const __m256i codes = requantize8(_mm256_sub_epi32(acc[t][i], offset), m, addend, a.rule.clamp);
      store8(a.out.type, a.out.data + row * a.out_stride, first + lane, lanes, codes);
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

}  // namespace degreequant::avx2
