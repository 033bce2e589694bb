// What `aggregate` of one instruction set calls for codes that are not bytes, each in a file of its own: the compiler takes as long for
// either as for the sums of bytes.
#pragma once

#include "kernels.h"

namespace degreequant {

using AggregatePart = Signature<decltype(Kernels::aggregate)>;

namespace avx2 {
AggregatePart aggregate_nibbles, aggregate_words;
}  // namespace avx2

namespace avx512 {
AggregatePart aggregate_nibbles, aggregate_words;
}  // namespace avx512

}  // namespace degreequant
