// Gram matrices, moments and the style loss of one layer, on plain pointers: no
// TensorFlow here.
//
// With features F [positions, channels] of one picture, row-major:
//   gram:     G = F^T F
//   loss:     scale * sum{ (G - target)^2 }
//   gradient: d loss / d F = 2 * scale * F * ((G - target) + (G - target)^T)
// The last is 4 * scale * F * (G - target) for the symmetric target that a Gram
// matrix is: a product of F and a matrix, as is any function's of G.

#ifndef TF_STYLE_KERNELS_GRAM_LOSS_H_
#define TF_STYLE_KERNELS_GRAM_LOSS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "common.h"
#include "gpu.h"

namespace tf_style {

// Activations of one picture at a layer.
struct Features {
  int64_t RowBytes() const { return channels * ElementBytes(element); }

  int64_t positions;
  int64_t channels;
  Element element;
  const void* data;
};

// Bytes of scratch memory for the functions below, with any alignment.
size_t ScratchBytes(const Features& features, const Workers& workers);

// Writes gram [channels, channels].
void Gram(const Features& features, void* scratch, const Workers& workers,
          float* gram);

// Writes the mean [channels] over positions, and products [channels, channels],
// the Gram matrix of the features less it.
void Moments(const Features& features, void* scratch, const Workers& workers,
             float* products, float* mean);

// Writes one loss, and the gradient, of the features' shape and element type;
// target [channels, channels]. Results have the same bits whatever the number
// of workers.
void GramLoss(const Features& features, void* scratch, const Workers& workers,
              const float* target, const float* scale, float* loss,
              void* gradient);

// Writes gradient = F * matrix + row. The matrix [channels, channels] is of the
// features' element type, and row [channels] may be null.
void GramGradient(const Features& features, void* scratch,
                  const Workers& workers, const void* matrix, const float* row,
                  void* gradient);

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

// The GPU's stream, and a function that multiplies on it with sums in float32.
struct Gpu {
  GpuStream stream;
  std::function<std::string(const Product&)> multiply;
};

// Like their namesakes above, for memory of the GPU.
size_t ScratchBytes(const Features& features, const Gpu& gpu);

std::string Gram(const Features& features, void* scratch, const Gpu& gpu,
                 float* gram);

std::string GramLoss(const Features& features, void* scratch, const Gpu& gpu,
                     const float* target, const float* scale, float* loss,
                     void* gradient);

std::string GramGradient(const Features& features, void* scratch,
                         const Gpu& gpu, const void* matrix, const float* row,
                         void* gradient);

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_GRAM_LOSS_H_
