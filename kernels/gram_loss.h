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

namespace tf_style {

enum class Element { kFloat32, kBfloat16 };

struct GramShape {
  int64_t batch;
  int64_t positions;
  int64_t channels;
};

// Calls body(worker) for every worker in [0, num_workers), in any order or at
// once, and returns when all have.
struct Workers {
  int num_workers;
  std::function<void(const std::function<void(int)>& body)> run;
};

// What the style loss needs beside the features.
struct LossInputs {
  const float* target;   // [target_batch, channels, channels]
  int64_t target_batch;  // 1 or the batch of the features
  float scale;
};

// The instruction set in use: "portable", "avx2", "avx512" or "avx512bf16". It
// is the best that the processor has, or what TF_STYLE_MAX_ISA limits it to.
const char* CpuInstructionSet();

// Bytes of scratch memory for the two functions below, with any alignment.
size_t CpuScratchBytes(const GramShape& shape, int num_workers);

// Writes gram [batch, channels, channels].
void GramCpu(const GramShape& shape, Element element, const void* features,
             void* scratch, const Workers& workers, float* gram);

// Writes loss [batch] and gradient, which has the features' shape and element.
// The result has the same bits whatever the number of workers.
void GramLossCpu(const GramShape& shape, Element element, const void* features,
                 const LossInputs& inputs, void* scratch,
                 const Workers& workers, float* loss, void* gradient);

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_GRAM_LOSS_H_
