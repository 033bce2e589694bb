#include "dispatch.h"

#include <array>
#include <cstddef>

#include "float_kernels.h"
#include "kernels_reference.h"

#if defined(DEGREEQUANT_X86)
#include "kernels_x86.h"
#elif defined(DEGREEQUANT_NEON)
#include "kernels_neon.h"
#endif

namespace degreequant {
namespace {

bool always() noexcept { return true; }

constexpr Kernels reference_kernels = {
    .name = "reference",
    .supported = always,
    .floats = &reference::float_kernels,
    .quantize = reference::quantize,
    .linear = reference::linear,
    .aggregate = reference::aggregate,
    .maximum = reference::maximum,
    .attend = reference::attend,
    .edge_softmax = reference::edge_softmax,
    .multiply = reference::multiply,
    .add = reference::add,
    .rescale = reference::rescale,
    .lookup = reference::lookup,
};

#if defined(DEGREEQUANT_X86)
bool has_avx2() noexcept { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

bool has_avx512() noexcept {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}

// The reference with what there is a faster function for.
constexpr Kernels make_avx2() noexcept {
  Kernels table = reference_kernels;
  table.name = "avx2";
  table.supported = has_avx2;
  table.floats = &avx2::float_kernels;
  table.quantize = avx2::quantize;
  table.linear = avx2::linear;
  table.aggregate = avx2::aggregate;
  table.maximum = avx2::maximum;
  table.attend = avx2::attend;
  table.edge_softmax = avx2::edge_softmax;
  table.multiply = avx2::multiply;
  table.add = avx2::add;
  table.rescale = avx2::rescale;
  table.lookup = avx2::lookup;
  return table;
}

constexpr Kernels make_avx512() noexcept {
  Kernels table = reference_kernels;
  table.name = "avx512";
  table.supported = has_avx512;
  table.floats = &avx512::float_kernels;
  table.quantize = avx512::quantize;
  table.linear = avx512::linear;
  table.aggregate = avx512::aggregate;
  table.maximum = avx512::maximum;
  table.attend = avx512::attend;
  table.edge_softmax = avx512::edge_softmax;
  table.multiply = avx512::multiply;
  table.add = avx512::add;
  table.rescale = avx512::rescale;
  table.lookup = avx512::lookup;
  return table;
}

constexpr Kernels avx2_kernels = make_avx2();
constexpr Kernels avx512_kernels = make_avx512();
constexpr std::array<const Kernels*, 3> kCompiled = {&reference_kernels, &avx2_kernels, &avx512_kernels};
#elif defined(DEGREEQUANT_NEON)
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
