#include <algorithm>

#include "two_loop.h"

namespace tf_style {
namespace {

// Elements whose products are summed in float32 before they are in double.
constexpr int64_t kChunk = 2048;

// Chunks of a task.
constexpr int64_t kTaskChunks = 8;

// Sums that go on side by side.
constexpr int kLanes = 16;

// Adds factor * added to q, and returns the scalar product of the outcome with
// `other`. Either vector may be null.
template <typename T>
double AddAndMultiply(int64_t size, float factor, const T* added,
                      const T* other, float* q) {
  if (added != nullptr) {
    for (int64_t i = 0; i < size; ++i) q[i] += factor * Widen(added[i]);
  }
  if (other == nullptr) return 0;
  float sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      sums[lane] += q[i + lane] * Widen(other[i + lane]);
    }
  }
  double sum = 0;
  for (; i < size; ++i) sum += q[i] * Widen(other[i]);
  for (const float lane : sums) sum += lane;
  return sum;
}

// Goes through all of q in chunks that stay in the cache between the two parts.
template <typename T>
double Pass(int64_t size, const Workers& workers, float factor,
            const void* added, const void* other, float* q) {
  const int64_t num_chunks = CeilDivide(size, kChunk);
  std::vector<double> sums(num_chunks);
  RunTasks(workers, CeilDivide(num_chunks, kTaskChunks),
           [&](int64_t task, int) {
             const int64_t end = std::min((task + 1) * kTaskChunks, num_chunks);
             for (int64_t chunk = task * kTaskChunks; chunk < end; ++chunk) {
               const int64_t start = chunk * kChunk;
               const T* const source = static_cast<const T*>(added);
               const T* const factors = static_cast<const T*>(other);
               sums[chunk] = AddAndMultiply<T>(
                   std::min(kChunk, size - start), factor,
                   source == nullptr ? nullptr : source + start,
                   factors == nullptr ? nullptr : factors + start, q + start);
             }
           });
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

double PassOf(const Pairs& pairs, const Workers& workers, float factor,
              const void* added, const void* other, float* q) {
  return pairs.element == Element::kFloat32
             ? Pass<float>(pairs.size, workers, factor, added, other, q)
             : Pass<Bfloat16>(pairs.size, workers, factor, added, other, q);
}

float DivideNoNan(double a, float b) {
  return b == 0 ? 0 : static_cast<float>(a / b);
}

}  // namespace

void FirstLoop(const Pairs& pairs, const Workers& workers, float* q,
               float* alphas) {
  const void* added = nullptr;
  float factor = 0;
  for (int64_t i = pairs.steps.size() - 1; i >= 0; --i) {
    alphas[i] = 0;
    if (pairs.curvatures[i] == 0) continue;
    const double sum = PassOf(pairs, workers, factor, added, pairs.steps[i], q);
    alphas[i] = DivideNoNan(sum, pairs.curvatures[i]);
    factor = -alphas[i];
    added = pairs.differences[i];
  }
  PassOf(pairs, workers, factor, added, nullptr, q);
}

void SecondLoop(const Pairs& pairs, const float* alphas, const Workers& workers,
                float* q) {
  const void* added = nullptr;
  float factor = 0;
  for (size_t i = 0; i < pairs.steps.size(); ++i) {
    if (pairs.curvatures[i] == 0) continue;
    const double sum =
        PassOf(pairs, workers, factor, added, pairs.differences[i], q);
    factor = alphas[i] - DivideNoNan(sum, pairs.curvatures[i]);
    added = pairs.steps[i];
  }
  PassOf(pairs, workers, factor, added, nullptr, q);
}

}  // namespace tf_style
