#include "dispatch.h"

#include <array>
#include <cstddef>

#include "kernels_reference.h"

#if defined(DEGREEQUANT_X86)
#include "kernels_x86.h"
#elif defined(DEGREEQUANT_NEON)
#include "kernels_neon.h"
#endif

namespace degreequant {
namespace {

bool always() noexcept { return true; }

constexpr Kernels reference_kernels = reference::table("reference", always);

#if defined(DEGREEQUANT_X86)
bool has_avx2() noexcept { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

bool has_avx512() noexcept {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}

constexpr Kernels avx2_kernels = avx2::table("avx2", has_avx2);
constexpr Kernels avx512_kernels = avx512::table("avx512", has_avx512);
constexpr std::array<const Kernels*, 3> kCompiled = {&reference_kernels, &avx2_kernels, &avx512_kernels};
#elif defined(DEGREEQUANT_NEON)
// The reference with what there is a faster function for.
constexpr Kernels make_neon() noexcept {
  Kernels table = reference_kernels;
  table.name = "neon";
  table.quantize = neon::quantize;
  table.linear = neon::linear;
  table.aggregate = neon::aggregate;
  return table;
}

constexpr Kernels neon_kernels = make_neon();
constexpr std::array<const Kernels*, 2> kCompiled = {&reference_kernels, &neon_kernels};
#else
constexpr std::array<const Kernels*, 1> kCompiled = {&reference_kernels};
#endif

struct Available {
  std::array<const Kernels*, kCompiled.size()> tables{};
  size_t count = 0;

  Available() noexcept {
    for (const Kernels* table : kCompiled) {
      if (table->supported()) tables[count++] = table;
    }
  }
};

}  // namespace

std::span<const Kernels* const> available_kernels() noexcept {
  static const Available available;
  return {available.tables.data(), available.count};
}

}  // namespace degreequant
