// The functions of one instruction set, and the table of them. Included within the namespace of the set, so it has no guard; kernels.h has
// the signature and the contract of each.
Signature<decltype(Kernels::quantize)> quantize;
Signature<decltype(Kernels::linear)> linear;
Signature<decltype(Kernels::aggregate)> aggregate;
Signature<decltype(Kernels::maximum)> maximum;
Signature<decltype(Kernels::attend)> attend;
Signature<decltype(Kernels::edge_softmax)> edge_softmax;
Signature<decltype(Kernels::multiply)> multiply;
Signature<decltype(Kernels::add)> add;
Signature<decltype(Kernels::rescale)> rescale;
Signature<decltype(Kernels::lookup)> lookup;
extern const FloatKernels float_kernels;

constexpr Kernels table(const char* name, bool (*supported)() noexcept) noexcept {
  return {
      .name = name,
      .supported = supported,
      .floats = &float_kernels,
      .quantize = quantize,
      .linear = linear,
      .aggregate = aggregate,
      .maximum = maximum,
      .attend = attend,
      .edge_softmax = edge_softmax,
      .multiply = multiply,
      .add = add,
      .rescale = rescale,
      .lookup = lookup,
  };
}
