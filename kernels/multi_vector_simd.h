// The inner loops of multi_vector_cpu.cc.

#ifndef TF_STYLE_KERNELS_MULTI_VECTOR_SIMD_H_
#define TF_STYLE_KERNELS_MULTI_VECTOR_SIMD_H_

#include <cstdint>

#include "instruction_set.h"
#include "multi_vector.h"

namespace tf_style {

struct VectorKernels {
  // Returns q . vector.
  double (*dot)(int64_t size, const float* q, const void* vector);

  // q += factor * vector.
  void (*axpy)(int64_t size, float factor, const void* vector, float* q);
};

TF_STYLE_DECLARE_KERNELS(VectorKernels);

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_MULTI_VECTOR_SIMD_H_
