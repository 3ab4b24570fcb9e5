// The inner products of conv_relu_cpu.cc, once for each instruction set.

#ifndef TF_STYLE_KERNELS_CONV_RELU_SIMD_H_
#define TF_STYLE_KERNELS_CONV_RELU_SIMD_H_

#include <cstdint>

#include "conv_relu.h"

namespace tf_style {

// Points of a transformed tile.
constexpr int64_t kPoints = 16;

// Output channels that are multiplied before their tiles are transformed back,
// at most.
constexpr int64_t kGroupChannels = 48;

// Tiles come in multiples of this, for no product of matrices to have fewer
// rows; what the last ones hold goes nowhere.
constexpr int64_t kTileAlignment = 8;

// Some tiles of one picture, in the order of its rows of tiles.
struct TileRange {
  int64_t first;
  int64_t count;
};

// Some output channels, a multiple of kConvolutionChannels.
struct ChannelRange {
  int64_t first;
  int64_t count;
};

// One worker's memory, for tiles rounded up to kTileAlignment.
struct ConvolutionScratch {
  void* zeros;      // [in] elements
  float* inputs;    // [kPoints, tiles, in]
  float* products;  // [kPoints, tiles, kGroupChannels]
};

struct ConvolutionKernels {
  // Packs one point's matrix [in, out], of `element`, whose place in `packed`
  // is that of [kPoints, out, in] words.
  void (*pack)(Element element, const void* matrix, int64_t point,
               int64_t in_channels, int64_t out_channels, void* packed);

  // Convolves some tiles of one picture for some output channels.
  void (*convolve)(const ConvolutionShape& shape, Element element,
                   const ConvolutionInputs& inputs, const TileRange& tiles,
                   const ChannelRange& channels,
                   const ConvolutionScratch& scratch, void* output);
};

const ConvolutionKernels& PortableConvolutionKernels();
const ConvolutionKernels& Avx2ConvolutionKernels();
const ConvolutionKernels& Avx512ConvolutionKernels();
const ConvolutionKernels& Avx512Bf16ConvolutionKernels();

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_CONV_RELU_SIMD_H_
