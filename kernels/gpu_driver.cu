// Whether the machine's driver can run what nvcc has made.

#include <cuda_runtime.h>

#include "gpu.h"

namespace tf_style {
namespace {

std::string Version(int number) {
  return std::to_string(number / 1000) + "." +
         std::to_string(number % 1000 / 10);
}

}  // namespace

std::string GpuDriverProblem(bool of_ptx) {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    return "there is no driver for it";
  }
  // A driver runs the machine code of any release of its own major version, and
  // translates the PTX of none that is newer than itself.
  const int needed = of_ptx ? CUDART_VERSION : CUDART_VERSION / 1000 * 1000;
  if (driver >= needed) return "";
  return "its driver is for CUDA " + Version(driver) +
         ", and the operations were built with CUDA " + Version(CUDART_VERSION);
}

}  // namespace tf_style
