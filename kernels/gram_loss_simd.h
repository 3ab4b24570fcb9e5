// The inner products of gram_loss_cpu.cc, once for each instruction set.

#ifndef TF_STYLE_KERNELS_GRAM_LOSS_SIMD_H_
#define TF_STYLE_KERNELS_GRAM_LOSS_SIMD_H_

#include <cstdint>

#include "gram_loss.h"
#include "instruction_set.h"

namespace tf_style {

// Channels are padded to a multiple of this in every scratch matrix, so that no
// instruction set needs a special case for a last, narrower tile of sums.
constexpr int64_t kChannelAlignment = 16;

// Channels on either side of one block of the Gram matrix, the unit of work.
constexpr int64_t kBlockChannels = 256;

// Packed rows that one pass multiplies before it adds to the sums in memory: as
// many as keep three panels of 16 columns in a first-level cache of 32 KiB.
constexpr int64_t kPackedRows = 128;

// Floats of scratch memory that one worker packs a pass's operands into.
constexpr int64_t kPackFloats = 2 * kBlockChannels * kPackedRows;

// One block of the Gram matrix: its first row and first column, with
// column <= row.
struct GramBlock {
  int64_t row;
  int64_t column;
};

struct GramKernels {
  // Writes one block of F^T F to sums [padded channels, padded channels], where
  // F is features [positions, channels], less `shift` if there is one. Entries
  // above the diagonal are unspecified.
  void (*sum_gram)(const void* features, int64_t positions, int64_t channels,
                   const float* shift, GramBlock block, float* pack,
                   float* sums);

  // Writes the features' sums over positions to sums [padded channels].
  void (*sum_columns)(const void* features, int64_t positions, int64_t channels,
                      float* sums);

  // Packs kChannelAlignment columns of matrix [channels, channels], of the
  // features' element type, starting at `column`, for `multiply`. `panels` has
  // room for [padded channels, padded channels] floats.
  void (*pack_matrix)(const void* matrix, int64_t channels, int64_t column,
                      float* panels);

  // Writes product [positions, channels] = features * matrix + row, rounded to
  // the features' element type; no row, nothing added. `pack` has room for the
  // features in float32.
  void (*multiply)(const void* features, int64_t positions, int64_t channels,
                   const float* panels, const float* row, float* pack,
                   void* product);
};

TF_STYLE_DECLARE_KERNELS(GramKernels);

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_GRAM_LOSS_SIMD_H_
