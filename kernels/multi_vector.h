// What L-BFGS needs of its pairs, on plain pointers: no TensorFlow here. The
// pairs are far larger than a cache, so the vectors are read once for all their
// products with another one, and once for all their multiples to be added to
// it, in pieces of which that other one's stay in the cache.

#ifndef TF_STYLE_KERNELS_MULTI_VECTOR_H_
#define TF_STYLE_KERNELS_MULTI_VECTOR_H_

#include <cstdint>
#include <vector>

#include "common.h"

namespace tf_style {

// Some vectors of one size.
struct Vectors {
  int64_t size;
  Element element;
  std::vector<const void*> data;
};

// products[i] = q . vector i, summed in float32 over short pieces and in double
// over these. The result has the same bits whatever the number of workers, here
// and below.
void ScalarProducts(const Vectors& vectors, const float* q,
                    const Workers& workers, double* products);

// q += sum over i of factors[i] * vector i.
void AddMultiples(const Vectors& vectors, const float* factors,
                  const Workers& workers, float* q);

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_MULTI_VECTOR_H_
