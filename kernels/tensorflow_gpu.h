// TensorFlow's stream and its cuBLAS, for the kernels on a GPU.

#ifndef TF_STYLE_KERNELS_TENSORFLOW_GPU_H_
#define TF_STYLE_KERNELS_TENSORFLOW_GPU_H_

#include <string>

#include "gpu.h"
#include "gram_loss.h"
#include "tensorflow_op.h"
#include "tsl/platform/tensor_float_32_utils.h"
#include "xla/stream_executor/blas.h"
#include "xla/stream_executor/device_address.h"
#include "xla/stream_executor/engine_options.h"
#include "xla/stream_executor/stream.h"
#include "xla/stream_executor/stream_executor.h"

namespace tf_style {

inline GpuStream StreamOf(OpKernelContext* context) {
  return {context->op_device_context()
              ->stream()
              ->platform_specific_handle()
              .stream};
}

// The status of a kernel that returns an error or nothing.
inline absl::Status GpuStatus(const std::string& error) {
  if (error.empty()) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("the op on the GPU: ", error));
}

// Puts a product of features on the stream, with sums in float32; returns an
// error or nothing.
inline std::string Multiply(OpKernelContext* context, const Features& features,
                            const Product& product) {
  namespace se = stream_executor;
  se::Stream* const stream = context->op_device_context()->stream();
  se::blas::BlasSupport* blas = stream->parent()->AsBlas();
  if (blas == nullptr) return "TensorFlow has no cuBLAS for this device";
  const bool is_float32 = features.element == Element::kFloat32;
  const auto type =
      is_float32 ? se::blas::DataType::kFloat : se::blas::DataType::kBF16;
  const auto result_type =
      product.float32_result ? se::blas::DataType::kFloat : type;
  const bool allow_tf32 = tsl::tensor_float_32_execution_enabled();
  const auto computation = is_float32 && allow_tf32
                               ? se::blas::ComputationType::kTF32AsF32
                               : se::blas::ComputationType::kF32;
  const se::EngineOptions options(/*require_determinism=*/false, allow_tf32,
                                  /*require_command_buffer=*/false);
  const int64_t channels = features.channels;
  const float one = 1;
  const float zero = 0;
  se::DeviceAddressBase result(product.result);
  const absl::Status status = blas->DoBlasGemmStridedBatchedWithAlgorithm(
      stream, se::blas::Transpose::kNoTranspose,
      product.transpose_right ? se::blas::Transpose::kTranspose
                              : se::blas::Transpose::kNoTranspose,
      product.rows, product.columns, product.depth, &one,
      se::DeviceAddressBase(const_cast<void*>(product.left)), type, channels,
      product.operand_stride,
      se::DeviceAddressBase(const_cast<void*>(product.right)), type, channels,
      product.operand_stride, &zero, &result, result_type, channels,
      product.result_stride, product.count, computation,
      se::blas::kDefaultGemmAlgo, options,
      /*output_profile_result=*/nullptr, se::blas::CallContext::kNone);
  return status.ok() ? "" : std::string(status.message());
}

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_TENSORFLOW_GPU_H_
