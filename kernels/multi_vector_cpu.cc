// Cuts the vectors into tasks.

#include <algorithm>
#include <cstring>

#include "instruction_set.h"
#include "multi_vector.h"
#include "multi_vector_simd.h"

namespace tf_style {
namespace {

// Elements of a piece: q's part of 16 KiB stays in a first-level cache.
constexpr int64_t kPiece = 4096;

// Calls visit(piece, start, size) for every piece.
template <typename Visit>
void ForEachPiece(int64_t size, const Workers& workers, const Visit& visit) {
  RunTasks(workers, CeilDivide(size, kPiece), [&](int64_t piece, int) {
    const int64_t start = piece * kPiece;
    visit(piece, start, std::min(kPiece, size - start));
  });
}

const char* At(const Vectors& vectors, int64_t index, int64_t start) {
  return static_cast<const char*>(vectors.data[index]) +
         start * ElementBytes(vectors.element);
}

}  // namespace

size_t MultiDotScratchBytes(const Vectors& vectors, const Workers&) {
  return CeilDivide(vectors.size, kPiece) * vectors.count * sizeof(double) +
         kMemoryAlignment;
}

void MultiDot(const Vectors& vectors, const float* q, void* scratch,
              const Workers& workers, double* products) {
  const int64_t count = vectors.count;
  const auto& kernels = CurrentKernels<VectorKernels>(vectors.element);
  const int64_t num_parts = CeilDivide(vectors.size, kPiece) * count;
  double* parts = Arena(scratch).Take<double>(num_parts);
  ForEachPiece(vectors.size, workers,
               [&](int64_t piece, int64_t start, int64_t size) {
                 for (int64_t i = 0; i < count; ++i) {
                   parts[piece * count + i] =
                       kernels.dot(size, q + start, At(vectors, i, start));
                 }
               });
  std::fill_n(products, count, 0.0);
  for (int64_t i = 0; i < num_parts; ++i) products[i % count] += parts[i];
}

void MultiAxpy(const Vectors& vectors, const float* factors, const float* q,
               const Workers& workers, float* result) {
  const int64_t count = vectors.count;
  const auto& kernels = CurrentKernels<VectorKernels>(vectors.element);
  ForEachPiece(
      vectors.size, workers, [&](int64_t, int64_t start, int64_t size) {
        if (result != q) {
          memcpy(result + start, q + start, size * sizeof(float));
        }
        for (int64_t i = 0; i < count; ++i) {
          if (factors[i] == 0) continue;
          kernels.axpy(size, factors[i], At(vectors, i, start), result + start);
        }
      });
}

}  // namespace tf_style
