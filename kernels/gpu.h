// Where the kernels put their work on a GPU; no CUDA headers here.

#ifndef TF_STYLE_KERNELS_GPU_H_
#define TF_STYLE_KERNELS_GPU_H_

#include <string>

namespace tf_style {

// A cudaStream_t. Functions that take one put their work on it, wait for
// nothing, and return an error or nothing.
struct GpuStream {
  void* handle;
};

// Why this machine's driver cannot run the binary's machine code, or translate
// its PTX; empty if it can. It touches no device.
std::string GpuDriverProblem(bool of_ptx);

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_GPU_H_
