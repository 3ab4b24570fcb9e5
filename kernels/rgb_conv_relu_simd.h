// The inner products of rgb_conv_relu_cpu.cc, once for each instruction
// set.

#ifndef TF_STYLE_KERNELS_RGB_CONV_RELU_SIMD_H_
#define TF_STYLE_KERNELS_RGB_CONV_RELU_SIMD_H_

#include <cstdint>

#include "rgb_conv_relu.h"

namespace tf_style {

// Products of an output's gradient with its filter, and some that are zero.
constexpr int64_t kFirstPadded = 32;

// Positions that are multiplied at a time, a multiple of a product's rows.
constexpr int64_t kFirstPositions = 32;

struct FirstKernels {
  // Packs matrix [rows, columns]; columns are a multiple of 16.
  void (*pack)(const float* matrix, int64_t rows, int64_t columns,
               float* packed);

  // Writes one row of outputs, [width, channels], of the row of pixels above
  // it, `pixels` [width + 2, 3], and the two below, `row_floats` further on
  // each. `packed` is of the filter [27, channels]; `scratch` has room for
  // [kFirstPositions, 27] floats.
  void (*convolve)(Element element, const float* pixels, int64_t row_floats,
                   int64_t width, int64_t channels, const float* packed,
                   const float* bias, float* scratch, void* output);

  // Writes products [width rounded up to kFirstPositions, kFirstPadded] of one
  // row of outputs' gradients. `packed` is of the filter's transpose
  // [channels, kFirstPadded]; `scratch` has room for
  // [kFirstPositions, channels] floats.
  void (*multiply)(Element element, const void* upstream, const void* output,
                   int64_t width, int64_t channels, const float* packed,
                   float* scratch, float* products);
};

const FirstKernels& PortableFirstKernels();
const FirstKernels& Avx2FirstKernels();
const FirstKernels& Avx512FirstKernels();
const FirstKernels& Avx512Bf16FirstKernels();

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_RGB_CONV_RELU_SIMD_H_
