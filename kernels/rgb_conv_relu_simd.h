// The inner loops of rgb_conv_relu_cpu.cc.

#ifndef TF_STYLE_KERNELS_RGB_CONV_RELU_SIMD_H_
#define TF_STYLE_KERNELS_RGB_CONV_RELU_SIMD_H_

#include <cstdint>

#include "instruction_set.h"
#include "rgb_conv_relu.h"

namespace tf_style {

// kRgbTaps, padded: the products of an output's gradient with its filter.
constexpr int64_t kRgbPadded = 32;

// Positions that are multiplied at a time, a multiple of a tile's rows.
constexpr int64_t kRgbPositions = 32;

struct RgbKernels {
  // Packs matrix [rows, columns]; columns are a multiple of 16.
  void (*pack)(const float* matrix, int64_t rows, int64_t columns,
               float* packed);

  // Writes one row of outputs, [width, channels], from the row of pixels above
  // it, `pixels` [width + 2, 3], and the next two rows, `row_floats` apart.
  // `packed` is of the filter [27, channels]; `scratch` has room for
  // [kRgbPositions, 27] floats.
  void (*convolve)(const float* pixels, int64_t row_floats, int64_t width,
                   int64_t channels, const float* packed, const float* bias,
                   float* scratch, void* output);

  // Writes products [width rounded up to kRgbPositions, kRgbPadded] of one
  // row of outputs' gradients. `packed` is of the filter's transpose
  // [channels, kRgbPadded]; `scratch` has room for
  // [kRgbPositions, channels] floats.
  void (*multiply)(const void* upstream, const void* output, int64_t width,
                   int64_t channels, const float* packed, float* scratch,
                   float* products);
};

TF_STYLE_DECLARE_KERNELS(RgbKernels);

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_RGB_CONV_RELU_SIMD_H_
