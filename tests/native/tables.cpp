// Every table of kernels against the plain loops, bit for bit, on random inputs: for architectures whose Python is not at hand (`make neon`
// runs it under qemu). Prints one line a table; exit status 1 where a result differs.
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "dispatch.h"
#include "rule.h"
#include "weight.h"

using namespace degreequant;

namespace {

constexpr CodeType kTypes[] = {CodeType::i4, CodeType::u4, CodeType::i8, CodeType::u8, CodeType::i16, CodeType::u16};
constexpr int64_t kWidths[] = {1, 3, 8, 15, 16, 17, 31, 32, 33, 41, 63, 64, 65, 97, 128, 145, 160, 256, 290};

std::mt19937_64 random_bits(1);

int64_t between(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random_bits); }

template <typename T, size_t size>
T any_of(const T (&values)[size]) {
  return values[static_cast<size_t>(between(0, size - 1))];
}

// A matrix of random codes, extremes often among them, and room for results; sometimes the rows lie apart.
struct Matrix {
  Matrix(int64_t rows, int64_t cols, CodeType type, int64_t gap = 2 * between(0, 2))
      : rows(rows), cols(cols), type(type), stride(row_bytes(type, cols) + gap), bytes(static_cast<size_t>(rows * stride)) {
    for (uint8_t& byte : bytes)
      byte = static_cast<uint8_t>(between(0, 3) == 0 ? any_of<uint8_t>({0, 0x77, 0x7f, 0x80, 0x88, 0xff}) : between(0, 255));
    if (row_bytes(type, 2) > 1 || cols % 2 == 0) return;
    for (int64_t row = 0; row < rows; ++row) bytes[static_cast<size_t>(row * stride + row_bytes(type, cols) - 1)] &= 15;
  }
  Codes view() const { return {bytes.data(), rows, cols, type, stride}; }
  MutableCodes out() { return {bytes.data(), rows, cols, type, stride}; }

  int64_t rows, cols;
  CodeType type;
  int64_t stride;
  std::vector<uint8_t> bytes;
};

struct RandomRule {
  RandomRule(int64_t rows, int64_t cols, CodeType type, int bits)
      : rule(multipliers(between(0, 1) == 0 ? 1 : cols, mantissa), centred(mantissa.size(), bits), addends(cols), with_addend,
             clamp_of(type)) {
    if (between(0, 1) == 0) return;
    multipliers(rows, row_mantissa);
    for (int64_t i = 0; i < rows; ++i) row_shift.push_back(static_cast<int32_t>(between(0, 9) == 0 ? between(-60, 160) : between(29, 33)));
  }
  Requantize view() const { return rule.view({row_mantissa.data(), row_shift.data(), static_cast<int64_t>(row_mantissa.size())}); }

 private:
  static std::vector<int32_t>& multipliers(int64_t count, std::vector<int32_t>& values) {
    for (int64_t i = 0; i < count; ++i)
      values.push_back(static_cast<int32_t>(between(0, 4) == 0 ? int64_t{1} << between(0, 30) : between(-INT32_MAX, INT32_MAX)));
    return values;
  }
  static std::vector<int32_t> centred(size_t count, int bits) {
    std::vector<int32_t> shifts(count);
    for (int32_t& shift : shifts) shift = static_cast<int32_t>(between(0, 9) == 0 ? between(-60, 160) : between(bits + 20, bits + 26));
    return shifts;
  }
  std::vector<int32_t> addends(int64_t cols) {
    with_addend = between(0, 1) == 0;
    std::vector<int32_t> values(with_addend ? static_cast<size_t>(cols) : 0);
    for (int32_t& value : values) value = static_cast<int32_t>(between(-kMaxAddend, kMaxAddend) >> between(0, 25));
    return values;
  }
  static Clamp clamp_of(CodeType type) {
    const CodeRange range = code_range(type);
    return {static_cast<int32_t>(between(range.low, range.high)), range.low, range.high};
  }

  std::vector<int32_t> mantissa;
  bool with_addend = false;

 public:
  Rule rule;
  std::vector<int32_t> row_mantissa, row_shift;
};

// A graph whose rows are short, but for two.
struct Graph {
  explicit Graph(int64_t nodes) : indptr(1, 0), nodes(nodes) {
    for (int64_t row = 0; row < nodes; ++row) {
      const int64_t degree = row == 3 ? 700 : row == 5 ? 257 : between(0, 20);
      for (int64_t e = 0; e < degree; ++e) indices.push_back(static_cast<int32_t>(between(0, nodes - 1)));
      indptr.push_back(static_cast<int64_t>(indices.size()));
    }
    indices.resize(indices.size() + kIndexPadding);
  }
  Csr view() const { return {indptr.data(), indices.data(), nodes, nodes}; }
  std::vector<int64_t> indptr;
  std::vector<int32_t> indices;
  int64_t nodes;
};

// Calls run(table, out) with both tables and compares.
template <typename Run>
bool agrees(const Kernels& table, const Kernels& reference, const char* what, int64_t rows, int64_t cols, CodeType type, Run run) {
  Matrix got(rows, cols, type);
  Matrix wanted(rows, cols, type, got.stride - row_bytes(type, cols));
  std::fill(got.bytes.begin(), got.bytes.end(), 0);
  std::fill(wanted.bytes.begin(), wanted.bytes.end(), 0);
  run(table, got.out());
  run(reference, wanted.out());
  if (got.bytes == wanted.bytes) return true;
  std::printf("%s: %s differs, %lld columns, type %d\n", table.name, what, static_cast<long long>(cols), static_cast<int>(type));
  return false;
}

bool check_dense(const Kernels& table, const Kernels& reference, int64_t cols, CodeType type) {
  const int64_t rows = between(1, 9), inputs = any_of(kWidths);
  const CodeType out_type = any_of(kTypes);
  const Clamp clamp = {0, type == CodeType::u4 || type == CodeType::u8 ? 0 : -8, 7};
  std::vector<float> x(static_cast<size_t>(rows * cols));
  for (float& value : x) value = static_cast<float>(between(-40, 40)) * any_of<float>({0.5F, 0.25F, 0.49999997F, 1e20F});
  bool good = agrees(table, reference, "quantize", rows, cols, type, [&](const Kernels& k, MutableCodes out) {
    if (!k.quantize(x.data(), 0.5F, clamp, out, 0, rows)) std::puts("finite floats were refused");
  });
  x[static_cast<size_t>(between(0, rows * cols - 1))] = between(0, 1) == 0 ? __builtin_nanf("") : -__builtin_inff();
  Matrix codes(rows, cols, type);
  if (table.quantize(x.data(), 0.5F, clamp, codes.out(), 0, rows)) good = std::puts("a float that is not finite was not noticed") < 0;

  const Matrix input(rows, inputs, type);
  std::vector<int8_t> weights(static_cast<size_t>(inputs * cols));
  for (int8_t& weight : weights) weight = static_cast<int8_t>(between(-128, 127));
  const int32_t zero_point = static_cast<int32_t>(between(code_range(type).low, code_range(type).high));
  const PackedWeight packed(weights.data(), cols, inputs, 255);
  const RandomRule rule(rows, cols, out_type, 16);
  return agrees(table, reference, "linear", rows, cols, out_type,
                [&](const Kernels& k, MutableCodes out) {
                  k.linear(input.view(), zero_point, packed.view(max_distance(type, zero_point)), rule.view(), out, 0, rows);
                }) &&
         good;
}

bool check_aggregate(const Kernels& table, const Kernels& reference, int64_t cols, CodeType type) {
  const Graph graph(12);
  const Matrix x(graph.nodes, cols, type);
  std::vector<int16_t> coefficients(graph.indices.size());
  const bool extreme = between(0, 1) == 0;
  for (int16_t& value : coefficients) value = static_cast<int16_t>(extreme ? -32768 : between(-32768, 32767));
  const CodeType out_type = any_of(kTypes);
  bool good = true;
  for (int kind = 0; kind < 3; ++kind) {
    NeighbourSum sum = {x.view(), graph.view(), static_cast<int32_t>(between(0, 1) * between(0, 7)), nullptr, 0, 0};
    if (kind == 1) sum.coefficient = coefficients.data();
    if (kind == 2) {
      sum.self_coefficient = static_cast<int32_t>(between(-32767, 32767));
      sum.edge_shift = static_cast<int32_t>(between(0, 12));
    }
    const RandomRule rule(graph.nodes, cols, out_type, kind == 0 ? 12 : 26);
    good &= agrees(table, reference, "aggregate", graph.nodes, cols, out_type,
                   [&](const Kernels& k, MutableCodes out) { k.aggregate(sum, rule.view(), out, 0, graph.nodes); });
  }
  return good;
}

bool check(const Kernels& table, const Kernels& reference) {
  bool good = true;
  int64_t cases = 0;
  for (int round = 0; round < 3; ++round) {
    for (const int64_t cols : kWidths) {
      for (const CodeType type : kTypes) {
        good &= check_dense(table, reference, cols, type);
        good &= check_aggregate(table, reference, cols, type);
        cases += 5;
      }
    }
  }
  std::printf("%s: %lld cases, %s\n", table.name, static_cast<long long>(cases), good ? "all equal to the reference" : "DIFFERENT");
  return good;
}

}  // namespace

int main() {
  bool good = true;
  for (const Kernels* table : available_kernels()) good &= check(*table, *available_kernels().front());
  return good ? 0 : 1;
}
