// Where a test runs its kernels: on threads, or on a GPU that is the CPU.

#ifndef TF_STYLE_TESTS_KERNELS_TEST_PLACE_H_
#define TF_STYLE_TESTS_KERNELS_TEST_PLACE_H_

#include "kernels_test.h"

#if defined(TF_STYLE_CUDA_ON_CPU)
#include <cstdlib>
#include <string>

#include "cuda_runtime.h"
#include "gpu.h"
#include "gram_loss.h"

namespace tf_style {

// What cuBLAS would, with sums in double precision.
inline std::string Multiply(const Features& features, const Product& product) {
  const int64_t columns = features.channels;  // from one column to the next
  const auto at = [&](const void* matrix, int64_t index) {
    if (features.element == Element::kFloat32) {
      return double{static_cast<const float*>(matrix)[index]};
    }
    return double{Widen(static_cast<const Bfloat16*>(matrix)[index])};
  };
  for (int64_t i = 0; i < product.count; ++i) {
    const int64_t start = i * product.operand_stride;
    for (int64_t column = 0; column < product.columns; ++column) {
      for (int64_t row = 0; row < product.rows; ++row) {
        double sum = 0;
        for (int64_t k = 0; k < product.depth; ++k) {
          const int64_t right = product.transpose_right ? k * columns + column
                                                        : column * columns + k;
          sum += at(product.left, start + k * columns + row) *
                 at(product.right, start + right);
        }
        const int64_t index =
            i * product.result_stride + column * columns + row;
        if (features.element == Element::kFloat32 || product.float32_result) {
          static_cast<float*>(product.result)[index] = sum;
        } else {
          static_cast<Bfloat16*>(product.result)[index] = Bfloat16(sum);
        }
      }
    }
  }
  return "";
}

// The threads of a block from the first to the last if there is one worker,
// else the other way round.
inline GpuStream StreamFor(int num_workers) {
  cuda_on_cpu::is_reversed = num_workers > 1;
  return {nullptr};
}

inline Gpu GramPlace(int num_workers, const Features& features) {
  return {StreamFor(num_workers),
          [=](const Product& product) { return Multiply(features, product); }};
}

inline GpuStream Place(int num_workers) { return StreamFor(num_workers); }

template <typename Kernel>
void RunAtPlace(const Kernel& kernel) {
  const std::string error = kernel();
  if (!error.empty()) abort();
}

}  // namespace tf_style

#else

namespace tf_style {

inline Workers Place(int num_workers) { return Threads(num_workers); }

template <typename Features>
Workers GramPlace(int num_workers, const Features&) {
  return Threads(num_workers);
}

template <typename Kernel>
void RunAtPlace(const Kernel& kernel) {
  RunKernel(kernel);
}

}  // namespace tf_style
#endif

#endif  // TF_STYLE_TESTS_KERNELS_TEST_PLACE_H_
