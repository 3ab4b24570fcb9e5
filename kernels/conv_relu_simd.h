// The inner loops of conv_relu_cpu.cc.

#ifndef TF_STYLE_KERNELS_CONV_RELU_SIMD_H_
#define TF_STYLE_KERNELS_CONV_RELU_SIMD_H_

#include <cstdint>

#include "conv_relu.h"
#include "instruction_set.h"

namespace tf_style {

// Points of a transformed tile.
constexpr int64_t kPoints = 16;

// Output channels that are multiplied before their tiles are transformed back,
// at most.
constexpr int64_t kGroupChannels = 48;

// The number of tiles is rounded up to a multiple of this, so that each product
// of matrices has whole rows; the padding rows are computed and discarded.
constexpr int64_t kTileAlignment = 8;

// Some tiles of one picture, in the order of its rows of tiles.
struct TileRange {
  int64_t first;
  int64_t count;
};

// Some output channels, a multiple of kConvChannels.
struct ChannelRange {
  int64_t first;
  int64_t count;
};

// One worker's memory, for tiles rounded up to kTileAlignment.
struct ConvScratch {
  const void* zeros;  // [in] elements
  float* inputs;      // [kPoints, tiles, in]
  float* products;    // [kPoints, tiles, kGroupChannels]
};

struct ConvKernels {
  // Packs one point's matrix [in, out] into its place in `packed`
  // [kPoints, out, in].
  void (*pack)(const void* matrix, int64_t point, int64_t in_channels,
               int64_t out_channels, void* packed);

  // Convolves some tiles of one picture for some output channels.
  void (*convolve)(const ConvShape& shape, const ConvInputs& inputs,
                   const TileRange& tiles, const ChannelRange& channels,
                   const ConvScratch& scratch, void* output);
};

TF_STYLE_DECLARE_KERNELS(ConvKernels);

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_CONV_RELU_SIMD_H_
