// How the vectors are cut into tasks.

#include <algorithm>

#include "instruction_set.h"
#include "multi_vector.h"
#include "multi_vector_simd.h"

namespace tf_style {
namespace {

// Elements of a piece: of q's, 16 KiB stay in a first-level cache.
constexpr int64_t kPiece = 4096;

const VectorKernels& Kernels() {
  switch (CurrentInstructionSet()) {
#if defined(__x86_64__)
    case InstructionSet::kAvx2:
      return Avx2VectorKernels();
    case InstructionSet::kAvx512:
      return Avx512VectorKernels();
    case InstructionSet::kAvx512Bf16:
      return Avx512Bf16VectorKernels();
#endif
    default:
      return PortableVectorKernels();
  }
}

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

void ScalarProducts(const Vectors& vectors, const float* q,
                    const Workers& workers, double* products) {
  const int64_t count = vectors.data.size();
  std::vector<double> parts(CeilDivide(vectors.size, kPiece) * count);
  ForEachPiece(vectors.size, workers,
               [&](int64_t piece, int64_t start, int64_t size) {
                 for (int64_t i = 0; i < count; ++i) {
                   parts[piece * count + i] = Kernels().multiply(
                       vectors.element, size, q + start, At(vectors, i, start));
                 }
               });
  std::fill_n(products, count, 0.0);
  for (size_t i = 0; i < parts.size(); ++i) products[i % count] += parts[i];
}

void AddMultiples(const Vectors& vectors, const float* factors,
                  const Workers& workers, float* q) {
  const int64_t count = vectors.data.size();
  ForEachPiece(vectors.size, workers,
               [&](int64_t, int64_t start, int64_t size) {
                 for (int64_t i = 0; i < count; ++i) {
                   if (factors[i] == 0) continue;
                   Kernels().add(vectors.element, size, factors[i],
                                 At(vectors, i, start), q + start);
                 }
               });
}

}  // namespace tf_style
