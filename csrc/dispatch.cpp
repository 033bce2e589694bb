#include "dispatch.h"

#include <array>
#include <cstddef>

#ifdef DEGREEQUANT_X86
#include "kernels_x86.h"
#endif

namespace degreequant {
namespace {

#ifdef DEGREEQUANT_X86
bool has_avx2() noexcept { return __builtin_cpu_supports("avx2"); }

bool has_avx512() noexcept {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}

constexpr Kernels avx2_kernels = {"avx2", has_avx2, avx2::quantize, avx2::linear, avx2::aggregate};
constexpr Kernels avx512_kernels = {"avx512", has_avx512, avx512::quantize, avx512::linear, avx512::aggregate};
constexpr std::array<const Kernels*, 3> kCompiled = {&reference_kernels, &avx2_kernels, &avx512_kernels};
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
