// What the kernels for the GPU share: launches, and sums over a block.

#ifndef TF_STYLE_KERNELS_GPU_LAUNCH_H_
#define TF_STYLE_KERNELS_GPU_LAUNCH_H_

#include <cuda_runtime.h>

#include <cstdint>
#include <string>
#include <tuple>

#include "gpu.h"

namespace tf_style {

constexpr int kThreads = 256;  // of a block

// Launches a kernel with the arguments, converted to its parameters.
template <typename... Parameters, typename... Arguments>
std::string Launch(void (*kernel)(Parameters...), dim3 blocks, dim3 threads,
                   GpuStream stream, const Arguments&... arguments) {
  std::tuple<Parameters...> parameters(static_cast<Parameters>(arguments)...);
  const cudaError_t error = std::apply(
      [&](auto&... parameter) {
        void* pointers[] = {&parameter...};
        return cudaLaunchKernel(kernel, blocks, threads, pointers, 0,
                                static_cast<cudaStream_t>(stream.handle));
      },
      parameters);
  return error == cudaSuccess ? "" : cudaGetErrorString(error);
}

// Adds up one value of each of a block's kThreads threads; all have the sum.
// The order is fixed: results repeat bit for bit, as atomics' would not.
static __device__ double SumOverBlock(double value) {
  __shared__ double values[kThreads];
  const int thread = threadIdx.y * blockDim.x + threadIdx.x;
  values[thread] = value;
  __syncthreads();
  for (int stride = kThreads / 2; stride > 0; stride /= 2) {
    if (thread < stride) values[thread] += values[thread + stride];
    __syncthreads();
  }
  const double sum = values[0];
  __syncthreads();  // Before the next sum is written there.
  return sum;
}

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_GPU_LAUNCH_H_
