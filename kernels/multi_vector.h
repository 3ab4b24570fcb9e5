// The sums over many vectors that L-BFGS needs of its history (PETSc's VecMDot
// and VecMAXPY), on plain pointers: no TensorFlow here. The history is far
// larger than a cache. So all vectors are processed piece by piece: q's piece
// stays in the cache while those of the others are read once.

#ifndef TF_STYLE_KERNELS_MULTI_VECTOR_H_
#define TF_STYLE_KERNELS_MULTI_VECTOR_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "common.h"
#include "gpu.h"

namespace tf_style {

// Vectors of one size.
struct Vectors {
  int64_t size;
  Element element;
  int64_t count;
  const void* const* data;
};

// Bytes of scratch memory for `MultiDot`, with any alignment.
size_t MultiDotScratchBytes(const Vectors& vectors, const Workers& workers);

// products[i] = q . vector i, summed in float32 within a piece and in double
// over the pieces. The result has the same bits whatever the number of workers,
// here and below.
void MultiDot(const Vectors& vectors, const float* q, void* scratch,
              const Workers& workers, double* products);

// result = q + sum over i of factors[i] * vector i; it may be q.
void MultiAxpy(const Vectors& vectors, const float* factors, const float* q,
               const Workers& workers, float* result);

// Like their namesakes above, for memory of the GPU; only `vectors.data` itself
// is the host's. Products are summed in float32 within a thread's part of a
// slab, in double beyond.
size_t MultiDotScratchBytes(const Vectors& vectors, GpuStream stream);

std::string MultiDot(const Vectors& vectors, const float* q, void* scratch,
                     GpuStream stream, double* products);

std::string MultiAxpy(const Vectors& vectors, const float* factors,
                      const float* q, GpuStream stream, float* result);

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_MULTI_VECTOR_H_
