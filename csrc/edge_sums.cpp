#include "edge_sums.h"

#include "edge_sums_rows.h"

namespace degreequant {

#if defined(DEGREEQUANT_X86)
namespace avx2 {
extern const EdgeSumKernels edge_sums;
}
namespace avx512 {
extern const EdgeSumKernels edge_sums;
}
#endif

const EdgeSumKernels& edge_sum_kernels([[maybe_unused]] std::string_view isa) noexcept {
#if defined(DEGREEQUANT_X86)
  if (isa == "avx2") return avx2::edge_sums;
  if (isa == "avx512") return avx512::edge_sums;
#endif
  return kEdgeSums<reference::FloatLanes>;
}

}  // namespace degreequant
