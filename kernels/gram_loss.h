// Gram matrices and the style loss of one layer, on plain pointers: no
// TensorFlow here.
//
// With features F [positions, channels] of one picture, row-major:
//   gram:     G = F^T F
//   loss:     scale * sum{ (G - target)^2 }
//   gradient: d loss / d F = 2 * scale * F * ((G - target) + (G - target)^T)
// The last is 4 * scale * F * (G - target) for the symmetric target that a Gram
// matrix is.

#ifndef TF_STYLE_KERNELS_GRAM_LOSS_H_
#define TF_STYLE_KERNELS_GRAM_LOSS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "common.h"

namespace tf_style {

struct GramShape {
  int64_t batch;
  int64_t positions;
  int64_t channels;
};

// What the style loss needs besides the features.
struct LossInputs {
  const float* target;   // [target_batch, channels, channels]
  int64_t target_batch;  // 1 or the batch of the features
  const float* scale;
};

// Bytes of scratch memory for the two functions below, with any alignment.
size_t CpuScratchBytes(const GramShape& shape, int num_workers);

// Writes gram [batch, channels, channels].
void GramCpu(const GramShape& shape, Element element, const void* features,
             void* scratch, const Workers& workers, float* gram);

// Writes loss [batch] and gradient, of the features' shape and element type.
// The result has the same bits whatever the number of workers.
void GramLossCpu(const GramShape& shape, Element element, const void* features,
                 const LossInputs& inputs, void* scratch,
                 const Workers& workers, float* loss, void* gradient);

// Products of column-major matrices, all of them with `channels` rows between
// one column and the next: result = left * right, or left * right^T.
struct Product {
  bool transpose_right;
  int64_t rows;
  int64_t columns;
  int64_t depth;
  const void* left;
  const void* right;
  void* result;
  bool float32_result;  // whatever the features are
  int64_t count = 1;
  int64_t operand_stride = 0;  // elements from one product to the next
  int64_t result_stride = 0;
};

// The GPU's stream, and a function that multiplies on it with sums in float32
// and returns an error message, empty on success.
struct Gpu {
  void* stream;
  std::function<std::string(const Product&)> multiply;
};

// Like their namesakes above, for memory of the GPU: they put the work on its
// stream, wait for nothing, and return an error or nothing.
size_t GpuScratchBytes(const GramShape& shape);

std::string GramGpu(const GramShape& shape, Element element,
                    const void* features, void* scratch, const Gpu& gpu,
                    float* gram);

std::string GramLossGpu(const GramShape& shape, Element element,
                        const void* features, const LossInputs& inputs,
                        void* scratch, const Gpu& gpu, float* loss,
                        void* gradient);

// Why the current GPU cannot run this binary; empty if it can.
std::string GpuProblem();

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_GRAM_LOSS_H_
