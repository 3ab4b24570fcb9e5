// CUDA's bfloat16, by the CPU kernels' own.

#ifndef TF_STYLE_TESTS_CUDA_ON_CPU_CUDA_BF16_H_
#define TF_STYLE_TESTS_CUDA_ON_CPU_CUDA_BF16_H_

#include "common.h"

struct __nv_bfloat16 : tf_style::Bfloat16 {
  using tf_style::Bfloat16::Bfloat16;
  operator float() const { return tf_style::Widen(*this); }
};

#endif  // TF_STYLE_TESTS_CUDA_ON_CPU_CUDA_BF16_H_
