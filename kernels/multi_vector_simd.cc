// Compiled once for each instruction set, with its flags and with TF_STYLE_ISA
// set to the first word of the functions that it defines.

#include "multi_vector_simd.h"

#include "simd.h"

namespace tf_style {
namespace {

// Sums that go on side by side, for one alone would wait for each addition.
constexpr int kSums = 4;

// Widened: no instruction multiplies bfloat16 with float32.
template <typename Type>
inline Vector LoadWidened(const char* source, int64_t count) {
  return Type::Pack(source, 1, 0, count);
}

template <typename Type>
double Multiply(int64_t size, const float* q, const char* vector) {
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
void Add(int64_t size, float factor, const char* vector, float* q) {
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

double MultiplyOf(Element element, int64_t size, const float* q,
                  const void* vector) {
  const char* source = static_cast<const char*>(vector);
  return element == Element::kFloat32
             ? Multiply<Float32>(size, q, source)
             : Multiply<WidenedBfloat16>(size, q, source);
}

void AddOf(Element element, int64_t size, float factor, const void* vector,
           float* q) {
  const char* source = static_cast<const char*>(vector);
  if (element == Element::kFloat32) {
    Add<Float32>(size, factor, source, q);
  } else {
    Add<WidenedBfloat16>(size, factor, source, q);
  }
}

}  // namespace

const VectorKernels& TF_STYLE_FUNCTION(VectorKernels)() {
  static const VectorKernels kernels = {MultiplyOf, AddOf};
  return kernels;
}

}  // namespace tf_style
