// The inner loops of multi_vector_cpu.cc, once for each instruction set.

#ifndef TF_STYLE_KERNELS_MULTI_VECTOR_SIMD_H_
#define TF_STYLE_KERNELS_MULTI_VECTOR_SIMD_H_

#include <cstdint>

#include "multi_vector.h"

namespace tf_style {

struct VectorKernels {
  // The scalar product of q and one vector.
  double (*multiply)(Element element, int64_t size, const float* q,
                     const void* vector);

  // q += factor * vector.
  void (*add)(Element element, int64_t size, float factor, const void* vector,
              float* q);
};

const VectorKernels& PortableVectorKernels();
const VectorKernels& Avx2VectorKernels();
const VectorKernels& Avx512VectorKernels();
const VectorKernels& Avx512Bf16VectorKernels();

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_MULTI_VECTOR_SIMD_H_
