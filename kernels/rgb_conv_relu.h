// The network's first convolution, from the three colours, rectified, and its
// gradient with respect to the picture, on plain pointers: no TensorFlow here.
//
// All is multiplied in float32, whatever the outputs' element. Rounded to
// bfloat16, this one layer's filters and pixels made most of the error of late
// gradients.

#ifndef TF_STYLE_KERNELS_RGB_CONV_RELU_H_
#define TF_STYLE_KERNELS_RGB_CONV_RELU_H_

#include <cstddef>
#include <cstdint>

#include "common.h"

namespace tf_style {

constexpr int64_t kColours = 3;

// Products that make an output.
constexpr int64_t kFirstTaps = 9 * kColours;

// Of pictures [batch, height + 2, width + 2, 3] with a border of one pixel, and
// outputs [batch, height, width, channels], a multiple of 16.
struct FirstShape {
  int64_t batch;
  int64_t height;
  int64_t width;
  int64_t channels;
};

// Bytes of scratch memory for the two functions below, with any alignment.
size_t FirstScratchBytes(const FirstShape& shape, const Workers& workers);

// Writes output, in `element`, of picture, filter [3, 3, 3, channels] and bias
// [channels].
void FirstConvolution(const FirstShape& shape, Element element,
                      const float* picture, const float* filter,
                      const float* bias, void* scratch, const Workers& workers,
                      void* output);

// Writes gradient [batch, height + 2, width + 2, 3] of the outputs' gradient
// `upstream`, in `element`, which counts where `output` is above 0. The result
// has the same bits whatever the number of workers.
void FirstGradient(const FirstShape& shape, Element element,
                   const void* upstream, const void* output,
                   const float* filter, void* scratch, const Workers& workers,
                   float* gradient);

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_RGB_CONV_RELU_H_
