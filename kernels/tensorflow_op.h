// What the TensorFlow side of every op shares. The headers of this folder that
// include TensorFlow's are named after it.

#ifndef TF_STYLE_KERNELS_TENSORFLOW_OP_H_
#define TF_STYLE_KERNELS_TENSORFLOW_OP_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow_workers.h"

namespace tf_style {

using tensorflow::DataType;
using tensorflow::DEVICE_CPU;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// Of float or bfloat16, the only types that the ops' attribute T allows.
inline Element ElementOf(DataType type) {
  return type == tensorflow::DT_FLOAT ? Element::kFloat32 : Element::kBfloat16;
}

// Allocates scratch memory, on the op's device or the host. Where TensorFlow
// has none, the op fails with ResourceExhausted.
inline absl::Status AllocateScratch(OpKernelContext* context, size_t bytes,
                                    Tensor* scratch, bool on_host = false) {
  tensorflow::AllocatorAttributes attributes;
  attributes.set_on_host(on_host);
  return context->allocate_temp(tensorflow::DT_UINT8,
                                TensorShape({static_cast<int64_t>(bytes)}),
                                scratch, attributes);
}

// Shape function: output 0 is input 0 [batch, height, width, ...], `border`
// positions larger on each axis, with other channels.
inline absl::Status SetPictureShape(InferenceContext* context, int64_t border,
                                    DimensionHandle channels) {
  ShapeHandle shape;
  TF_RETURN_IF_ERROR(context->WithRank(context->input(0), 4, &shape));
  for (const int axis : {1, 2}) {
    DimensionHandle side = context->Dim(shape, axis);
    TF_RETURN_IF_ERROR(border < 0 ? context->Subtract(side, -border, &side)
                                  : context->Add(side, border, &side));
    TF_RETURN_IF_ERROR(context->ReplaceDim(shape, axis, side, &shape));
  }
  TF_RETURN_IF_ERROR(context->ReplaceDim(shape, 3, channels, &shape));
  context->set_output(0, shape);
  return absl::OkStatus();
}

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_TENSORFLOW_OP_H_
