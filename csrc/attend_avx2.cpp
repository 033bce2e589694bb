#include "attend_rows.h"
#include "kernels_x86.h"
#include "lanes_avx2.h"
#include "tiles_avx2.h"

namespace degreequant::avx2 {
namespace {

struct AttendSimd : Lanes {
  static constexpr int kMaxTiles = TileSimd::kMaxTiles;
  static constexpr int kTileVectors = TileSimd::kTileVectors;
  template <bool kSigned>
  using Bytes = ByteLoader<kSigned>;
  template <bool kSigned>
  using Nibbles = NibbleLoader<kSigned>;
  template <typename Loader, typename Shape>
  using Block = TileSimd::Block<Loader, Shape>;
};

}  // namespace

void attend(const Attention& attention, const Requantize& requantize, MutableCodes out, int64_t begin, int64_t end) noexcept {
  attend_with<AttendSimd>(attention, requantize, out, begin, end);
}

}  // namespace degreequant::avx2
