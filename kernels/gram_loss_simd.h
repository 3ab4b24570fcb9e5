// The inner products of gram_loss_cpu.cc, once for each instruction set.

#ifndef TF_STYLE_KERNELS_GRAM_LOSS_SIMD_H_
#define TF_STYLE_KERNELS_GRAM_LOSS_SIMD_H_

#include <cstdint>

#include "gram_loss.h"

namespace tf_style {

// Channels are padded to a multiple of this in every scratch matrix, so that no
// instruction set has to treat a last, narrower tile of sums apart.
constexpr int64_t kChannelAlignment = 16;

// Channels on either side of one block of the Gram matrix, the unit of work.
constexpr int64_t kBlockChannels = 256;

// Packed rows that one pass multiplies before it adds to the sums in memory: as
// many as keep three panels of 16 columns in a first-level cache of 32 KiB.
constexpr int64_t kPackedRows = 128;

// Floats of scratch memory that one worker packs a pass's operands into.
constexpr int64_t kPackFloats = 2 * kBlockChannels * kPackedRows;

// One block of the Gram matrix: its first row and first column, of which the
// column's is the lower or the same.
struct GramBlock {
  int64_t row;
  int64_t column;
};

struct GramKernels {
  // Writes one block of F^T F to sums [padded channels, padded channels], where
  // F is features [positions, channels]. Above the diagonal it leaves rubbish.
  void (*sum_gram)(Element element, const void* features, int64_t positions,
                   int64_t channels, GramBlock block, float* pack, float* sums);

  // Brings kChannelAlignment columns of matrix [channels, channels], of the
  // features' element, from `column` on into the form that `multiply` takes.
  // `panels` has room for [padded channels, padded channels] floats.
  void (*pack_matrix)(Element element, const void* matrix, int64_t channels,
                      int64_t column, float* panels);

  // Writes product [positions, channels] = features * matrix, rounded to the
  // features' element. `pack` has room for the features in float32.
  void (*multiply)(Element element, const void* features, int64_t positions,
                   int64_t channels, const float* panels, float* pack,
                   void* product);
};

const GramKernels& PortableGramKernels();
const GramKernels& Avx2GramKernels();
const GramKernels& Avx512GramKernels();
const GramKernels& Avx512Bf16GramKernels();

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_GRAM_LOSS_SIMD_H_
