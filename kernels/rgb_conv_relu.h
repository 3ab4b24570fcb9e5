// The network's first convolution, from the three colours, followed by ReLU,
// and its gradient with respect to the picture, on plain pointers: no
// TensorFlow here.
//
// Products are in float32, whatever the outputs' element type: rounding this
// one layer's filters and pixels to bfloat16 made most of the error of late
// gradients.

#ifndef TF_STYLE_KERNELS_RGB_CONV_RELU_H_
#define TF_STYLE_KERNELS_RGB_CONV_RELU_H_

#include <cstddef>
#include <cstdint>

#include "common.h"

namespace tf_style {

constexpr int64_t kColours = 3;

// Products that are summed to one output.
constexpr int64_t kRgbTaps = 9 * kColours;

// Of pictures [batch, height + 2, width + 2, 3] with a border of one pixel, and
// outputs [batch, height, width, channels]; channels are a multiple of 16.
struct RgbShape {
  int64_t batch;
  int64_t height;
  int64_t width;
  int64_t channels;
};

// Bytes of scratch memory for the two functions below, with any alignment.
size_t RgbScratchBytes(const RgbShape& shape, const Workers& workers);

// Writes output, of type `element`, of picture, filter [3, 3, 3, channels] and
// bias [channels].
void RgbConvRelu(const RgbShape& shape, Element element, const float* picture,
                 const float* filter, const float* bias, void* scratch,
                 const Workers& workers, void* output);

// Writes gradient [batch, height + 2, width + 2, 3] from the outputs' gradient
// `upstream`, of type `element`, which counts where `output` is above 0. The
// result has the same bits whatever the number of workers.
void RgbConvReluGradient(const RgbShape& shape, Element element,
                         const void* upstream, const void* output,
                         const float* filter, void* scratch,
                         const Workers& workers, float* gradient);

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_RGB_CONV_RELU_H_
