// Convolutions with filters of 3 x 3, rectified, and their gradients with
// respect to the input, on plain pointers: no TensorFlow here.
//
// Four outputs, 2 x 2, take 16 multiplications for each pair of an input and an
// output channel, not 36: Winograd's F(2 x 2, 3 x 3). The 4 x 4 inputs d become
// B^T d B, the filter g becomes G g G^T, these are multiplied point by point
// and summed over the input channels, and A^T m A are the outputs.
//
// Reference: Lavin and Gray, "Fast Algorithms for Convolutional Neural
// Networks", CVPR 2016, section 4.1.

#ifndef TF_STYLE_KERNELS_CONV_RELU_H_
#define TF_STYLE_KERNELS_CONV_RELU_H_

#include <cstddef>
#include <cstdint>

#include "common.h"

namespace tf_style {

// Channels are multiples of this.
constexpr int64_t kConvolutionChannels = 16;

// Of inputs [batch, height, width, in] and outputs [batch, height, width, out]:
// the stride is 1, and zeros are what is seen beyond the border.
struct ConvolutionShape {
  int64_t batch;
  int64_t height;
  int64_t width;
  int64_t in_channels;
  int64_t out_channels;
};

// Bytes of a filter in the form that is multiplied.
size_t PackedFilterBytes(int64_t in_channels, int64_t out_channels,
                         Element element);

// Brings filter [3, 3, in, out] into that form, which is this processor's own.
// With `for_gradient` it is turned by half a turn and its channels are swapped:
// the filter that takes the outputs' gradient to the inputs'.
void PackFilter(const float* filter, int64_t in_channels, int64_t out_channels,
                bool for_gradient, Element element, const Workers& workers,
                void* packed);

// Bytes of scratch memory, with any alignment.
size_t ConvolutionScratchBytes(const ConvolutionShape& shape,
                               const Workers& workers);

// What a convolution reads.
struct ConvolutionInputs {
  const void* input;
  const void* mask;    // of the input's shape: 0 or less makes its element 0;
                       // null for none
  const void* packed;  // as from PackFilter
  const float* bias;   // [out]; null for none and no rectification
};

// Writes output, in the input's element; sums are in float32. The result has
// the same bits whatever the number of workers.
void Convolve(const ConvolutionShape& shape, Element element,
              const ConvolutionInputs& inputs, void* scratch,
              const Workers& workers, void* output);

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_CONV_RELU_H_
