// multi_vector.h on the GPU: one launch for the sums over 64 vectors, another
// for their multiples.
//
// The vectors are cut into slabs, of which each has a block of threads for
// every few vectors: q's slab is read once for those. A second kernel adds up
// the slabs' sums. Nothing is added atomically.

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <algorithm>

#include "gpu_launch.h"
#include "multi_vector.h"

namespace tf_style {
namespace {

// Pointers that go into a launch's parameters, of which there are 4 KiB.
constexpr int64_t kMaxVectors = 64;
constexpr int kVectorsPerBlock = 8;
constexpr int64_t kMinSlab = 4096;
constexpr int64_t kMaxSlabs = 1024;
constexpr int64_t kMaxElementwiseBlocks = 4096;

struct Pointers {
  const void* data[kMaxVectors];
};

// Elements that a thread reads at once.
template <typename T, int kWidth>
struct alignas(kWidth * sizeof(T)) Packet {
  static __device__ Packet At(const void* vector, int64_t index) {
    return *reinterpret_cast<const Packet*>(static_cast<const T*>(vector) +
                                            index);
  }

  T values[kWidth];
};

// parts[vector, slab] = the products over a slab; block (x, y) has slab x and
// the y-th few vectors.
template <typename T, int kWidth>
__global__ void DotSlabs(Pointers vectors, int count, const float* q,
                         int64_t size, int64_t slab, double* parts) {
  const int first = blockIdx.y * kVectorsPerBlock;
  const int64_t start = blockIdx.x * slab;
  const int64_t end = start + slab < size ? start + slab : size;
  float sums[kVectorsPerBlock] = {};
  for (int64_t i = start + threadIdx.x * kWidth; i < end;
       i += kThreads * kWidth) {
    const auto left = Packet<float, kWidth>::At(q, i);
#pragma unroll
    for (int k = 0; k < kVectorsPerBlock; ++k) {
      if (first + k >= count) break;
      const auto right = Packet<T, kWidth>::At(vectors.data[first + k], i);
#pragma unroll
      for (int lane = 0; lane < kWidth; ++lane) {
        sums[k] += left.values[lane] * static_cast<float>(right.values[lane]);
      }
    }
  }
#pragma unroll
  for (int k = 0; k < kVectorsPerBlock; ++k) {
    if (first + k >= count) break;
    const double sum = SumOverBlock(sums[k]);
    if (threadIdx.x == 0) {
      parts[int64_t{first + k} * gridDim.x + blockIdx.x] = sum;
    }
  }
}

// products[vector] = the sum of its parts; a block has one vector.
__global__ void AddSlabs(const double* parts, int num_slabs, double* products) {
  double sum = 0;
  for (int slab = threadIdx.x; slab < num_slabs; slab += kThreads) {
    sum += parts[int64_t{blockIdx.x} * num_slabs + slab];
  }
  sum = SumOverBlock(sum);
  if (threadIdx.x == 0) products[blockIdx.x] = sum;
}

template <typename T, int kWidth>
__global__ void AddMultiples(Pointers vectors, int count, const float* factors,
                             const float* q, int64_t size, float* result) {
  __shared__ float shared[kMaxVectors];
  if (threadIdx.x < count) shared[threadIdx.x] = factors[threadIdx.x];
  __syncthreads();
  const int64_t step = int64_t{gridDim.x} * kThreads * kWidth;
  int64_t i = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kWidth;
  for (; i < size; i += step) {
    auto sums = Packet<float, kWidth>::At(q, i);
    for (int k = 0; k < count; ++k) {
      const float factor = shared[k];
      if (factor == 0) continue;
      const auto vector = Packet<T, kWidth>::At(vectors.data[k], i);
#pragma unroll
      for (int lane = 0; lane < kWidth; ++lane) {
        sums.values[lane] += factor * static_cast<float>(vector.values[lane]);
      }
    }
    *reinterpret_cast<Packet<float, kWidth>*>(result + i) = sums;
  }
}

int64_t Slabs(int64_t size) {
  return std::clamp(size / kMinSlab, int64_t{1}, kMaxSlabs);
}

// Whether four elements can be read at once: each vector of a batch begins
// where a multiple of its size does.
bool HasPackets(const Vectors& vectors) { return vectors.size % 4 == 0; }

// Calls launch(first, count, pointers) for every kMaxVectors vectors.
template <typename Function>
std::string ForEachLaunch(const Vectors& vectors, const Function& launch) {
  std::string error;
  for (int64_t first = 0; first < vectors.count && error.empty();
       first += kMaxVectors) {
    const int64_t count = std::min(kMaxVectors, vectors.count - first);
    Pointers pointers = {};
    std::copy_n(vectors.data + first, count, pointers.data);
    error = launch(first, count, pointers);
  }
  return error;
}

template <typename T, int kWidth>
std::string Dot(const Vectors& vectors, const float* q, double* parts,
                GpuStream stream, double* products) {
  const int64_t slabs = Slabs(vectors.size);
  const int64_t slab = CeilDivide(CeilDivide(vectors.size, slabs), 4) * 4;
  return ForEachLaunch(
      vectors, [&](int64_t first, int64_t count, const Pointers& pointers) {
        const dim3 blocks(slabs, CeilDivide(count, kVectorsPerBlock));
        const std::string error =
            Launch(DotSlabs<T, kWidth>, blocks, kThreads, stream, pointers,
                   count, q, vectors.size, slab, parts);
        if (!error.empty()) return error;
        return Launch(AddSlabs, count, kThreads, stream, parts, slabs,
                      products + first);
      });
}

template <typename T, int kWidth>
std::string Axpy(const Vectors& vectors, const float* factors, const float* q,
                 GpuStream stream, float* result) {
  const int64_t blocks = std::clamp(CeilDivide(vectors.size, kThreads * kWidth),
                                    int64_t{1}, kMaxElementwiseBlocks);
  return ForEachLaunch(
      vectors, [&](int64_t first, int64_t count, const Pointers& pointers) {
        return Launch(AddMultiples<T, kWidth>, blocks, kThreads, stream,
                      pointers, count, factors + first, first ? result : q,
                      vectors.size, result);
      });
}

}  // namespace

size_t MultiDotScratchBytes(const Vectors& vectors, GpuStream) {
  return std::min(vectors.count, kMaxVectors) * Slabs(vectors.size) *
         sizeof(double);
}

std::string MultiDot(const Vectors& vectors, const float* q, void* scratch,
                     GpuStream stream, double* products) {
  const bool is_float32 = vectors.element == Element::kFloat32;
  const auto dot = HasPackets(vectors)
                       ? (is_float32 ? Dot<float, 4> : Dot<__nv_bfloat16, 4>)
                       : (is_float32 ? Dot<float, 1> : Dot<__nv_bfloat16, 1>);
  return dot(vectors, q, static_cast<double*>(scratch), stream, products);
}

std::string MultiAxpy(const Vectors& vectors, const float* factors,
                      const float* q, GpuStream stream, float* result) {
  const bool is_float32 = vectors.element == Element::kFloat32;
  const auto axpy =
      HasPackets(vectors)
          ? (is_float32 ? Axpy<float, 4> : Axpy<__nv_bfloat16, 4>)
          : (is_float32 ? Axpy<float, 1> : Axpy<__nv_bfloat16, 1>);
  return axpy(vectors, factors, q, stream, result);
}

}  // namespace tf_style
