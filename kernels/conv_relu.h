// Convolutions with 3 x 3 filters followed by ReLU, and their gradients with
// respect to the input, on plain pointers: no TensorFlow here.
//
// Winograd's F(2 x 2, 3 x 3): 2 x 2 outputs take 16 multiplications for each
// pair of an input and an output channel, not 36. The 4 x 4 inputs d become
// B^T d B and the filter g becomes G g G^T; these are multiplied point by point
// and summed over the input channels to m, and A^T m A are the outputs.
//
// Reference: Lavin and Gray, "Fast Algorithms for Convolutional Neural
// Networks", CVPR 2016, section 4.1.

#ifndef TF_STYLE_KERNELS_CONV_RELU_H_
#define TF_STYLE_KERNELS_CONV_RELU_H_

#include <cstddef>
#include <cstdint>

#include "common.h"

namespace tf_style {

// All numbers of channels are multiples of this.
constexpr int64_t kConvChannels = 16;

// Of inputs [batch, height, width, in] and outputs [batch, height, width, out]:
// the stride is 1, and the border is padded with zeros.
struct ConvShape {
  int64_t batch;
  int64_t height;
  int64_t width;
  int64_t in_channels;
  int64_t out_channels;
};

// Bytes of a transformed filter, G g G^T, packed for this processor.
int64_t PackedFilterBytes(int64_t in_channels, int64_t out_channels,
                          Element element);

// Bytes of scratch memory for `PackFilter`, with any alignment.
size_t PackFilterScratchBytes(int64_t in_channels, int64_t out_channels,
                              const Workers& workers);

// Transforms and packs filter [3, 3, in, out]. With `for_gradient` it is
// rotated by 180 degrees and its channels are swapped: the filter that maps the
// outputs' gradient to the inputs'.
void PackFilter(const float* filter, int64_t in_channels, int64_t out_channels,
                bool for_gradient, Element element, void* scratch,
                const Workers& workers, void* packed);

// Bytes of scratch memory for `Convolve`, with any alignment.
size_t ConvScratchBytes(const ConvShape& shape, const Workers& workers);

// What a convolution reads.
struct ConvInputs {
  const void* input;
  const void* mask;    // of the input's shape; the input counts where this is
                       // above 0; null for everywhere
  const void* packed;  // as from PackFilter
  const float* bias;   // [out]; null for neither bias nor ReLU
};

// Writes output, of the input's element type; sums are in float32. The result
// has the same bits whatever the number of workers.
void Convolve(const ConvShape& shape, Element element, const ConvInputs& inputs,
              void* scratch, const Workers& workers, void* output);

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_CONV_RELU_H_
