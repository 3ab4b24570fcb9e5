// The sums over many vectors that L-BFGS needs of its history (PETSc's VecMDot
// and VecMAXPY), on plain pointers: no TensorFlow here. The history is far
// larger than a cache. So all vectors are processed piece by piece: q's piece
// stays in the cache while those of the others are read once.

#ifndef TF_STYLE_KERNELS_MULTI_VECTOR_H_
#define TF_STYLE_KERNELS_MULTI_VECTOR_H_

#include <cstddef>
#include <cstdint>

#include "common.h"

namespace tf_style {

// Vectors of one size.
struct Vectors {
  int64_t size;
  Element element;
  int64_t count;
  const void* const* data;
};

// Bytes of scratch memory for `MultiDot`, with any alignment.
size_t MultiDotScratchBytes(const Vectors& vectors);

// products[i] = q . vector i, summed in float32 within a piece and in double
// over the pieces. The result has the same bits whatever the number of workers,
// here and below.
void MultiDot(const Vectors& vectors, const float* q, void* scratch,
              const Workers& workers, double* products);

// q += sum over i of factors[i] * vector i.
void MultiAxpy(const Vectors& vectors, const float* factors,
               const Workers& workers, float* q);

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_MULTI_VECTOR_H_
