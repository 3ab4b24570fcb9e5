// The inner loops of multi_vector.h, compiled once for each instruction set.

#include "multi_vector_simd.h"

#include "simd.h"

namespace tf_style {
namespace {

// Independent sums: a single one would wait for each addition.
constexpr int kSums = 4;

// bfloat16 is widened: no instruction multiplies it with float32.
template <typename Type>
inline Vector LoadWidened(const char* source, int64_t count) {
  return Type::Pack(source, 1, 0, count);
}

template <typename Type>
double Dot(int64_t size, const float* q, const void* data) {
  const char* vector = static_cast<const char*>(data);
  Vector sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums * kWidth <= size; i += kSums * kWidth) {
#pragma GCC unroll 4
    for (int j = 0; j < kSums; ++j) {
      const int64_t place = i + j * kWidth;
      sums[j] += Load<Vector>(q + place) *
                 LoadWidened<Type>(vector + place * Type::kBytes, kWidth);
    }
  }
  for (; i < size; i += kWidth) {
    const int64_t count = Min(kWidth, size - i);
    sums[0] += LoadColumns<Vector>(q + i, count) *
               LoadWidened<Type>(vector + i * Type::kBytes, count);
  }
  const Vector all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  double sum = 0;
  for (int lane = 0; lane < kWidth; ++lane) sum += all[lane];
  return sum;
}

template <typename Type>
void Axpy(int64_t size, float factor, const void* data, float* q) {
  const char* vector = static_cast<const char*>(data);
  int64_t i = 0;
  for (; i + kWidth <= size; i += kWidth) {
    const Vector sum =
        Load<Vector>(q + i) +
        factor * LoadWidened<Type>(vector + i * Type::kBytes, kWidth);
    memcpy(q + i, &sum, sizeof(sum));
  }
  if (i == size) return;
  const int64_t count = size - i;
  StoreColumns(LoadColumns<Vector>(q + i, count) +
                   factor * LoadWidened<Type>(vector + i * Type::kBytes, count),
               count, q + i);
}

template <typename Type>
constexpr VectorKernels kKernels = {Dot<Type>, Axpy<Type>};

}  // namespace

template <>
const VectorKernels& KernelsFor<VectorKernels, kInstructionSet>(
    Element element) {
  return element == Element::kFloat32 ? kKernels<Float32>
                                      : kKernels<WidenedBfloat16>;
}

}  // namespace tf_style
