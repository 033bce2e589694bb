#include "attend_rows.h"
#include "kernels_x86.h"
#include "lanes_avx512.h"
#include "pairs_avx512.h"

namespace degreequant::avx512 {
namespace {

struct AttendSimd : Lanes {
  static constexpr int kTileVectors = PairSimd::kTileVectors;
  template <bool kSigned>
  using Bytes = PairedBytes<kSigned>;
  template <bool kSigned>
  using Nibbles = PairedNibbles<kSigned>;
  template <typename Loader, int kTiles>
  using Block = PairSimd::Block<Loader, kTiles>;
};

}  // namespace

void attend(const Attention& attention, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept {
  attend_with<AttendSimd>(attention, requantize, out, begin, end);
}

}  // namespace degreequant::avx512
