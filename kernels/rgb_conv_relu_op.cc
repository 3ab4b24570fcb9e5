// The TensorFlow side of rgb_conv_relu.h: ops, shape functions, kernels.

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "rgb_conv_relu.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow_workers.h"

namespace tf_style {
namespace {

using tensorflow::DT_UINT8;
using tensorflow::OpKernel;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

template <typename T>
constexpr Element kElement =
    sizeof(T) == sizeof(float) ? Element::kFloat32 : Element::kBfloat16;

absl::Status CheckFilter(const Tensor& filter) {
  if (filter.dims() == 4 && filter.dim_size(0) == 3 &&
      filter.dim_size(1) == 3 && filter.dim_size(2) == kColours &&
      filter.dim_size(3) > 0 && filter.dim_size(3) % 16 == 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("filter must have shape [3, 3, 3, channels] with a multiple "
                   "of 16 channels. Received: ",
                   filter.shape().DebugString()));
}

absl::Status MakeScratch(OpKernelContext* context, const FirstShape& shape,
                         const Workers& workers, Tensor* scratch) {
  return context->allocate_temp(
      DT_UINT8,
      TensorShape({static_cast<int64_t>(FirstScratchBytes(shape, workers))}),
      scratch);
}

Workers MakeWorkersFor(OpKernelContext* context, const FirstShape& shape) {
  return MakeWorkers(context, shape.batch * shape.height * shape.width *
                                  shape.channels * kFirstTaps);
}

template <typename T>
class FirstConvolutionOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& picture = context->input(0);
    const Tensor& filter = context->input(1);
    const Tensor& bias = context->input(2);
    OP_REQUIRES_OK(context, CheckFilter(filter));
    OP_REQUIRES(context,
                picture.dims() == 4 && picture.dim_size(1) >= 3 &&
                    picture.dim_size(2) >= 3 &&
                    picture.dim_size(3) == kColours &&
                    bias.NumElements() == filter.dim_size(3),
                absl::InvalidArgumentError(absl::StrCat(
                    "picture must have shape [batch, height, width, 3] of 3 or "
                    "more pixels each way, and bias the filter's channels. "
                    "Received: ",
                    picture.shape().DebugString(), " and ",
                    bias.shape().DebugString())));
    const FirstShape shape = {picture.dim_size(0), picture.dim_size(1) - 2,
                              picture.dim_size(2) - 2, filter.dim_size(3)};
    Tensor* output;
    OP_REQUIRES_OK(
        context,
        context->allocate_output(
            0, {shape.batch, shape.height, shape.width, shape.channels},
            &output));
    if (shape.batch == 0) return;
    const Workers workers = MakeWorkersFor(context, shape);
    Tensor scratch;
    OP_REQUIRES_OK(context, MakeScratch(context, shape, workers, &scratch));
    FirstConvolution(shape, kElement<T>, picture.flat<float>().data(),
                     filter.flat<float>().data(), bias.flat<float>().data(),
                     scratch.flat<uint8_t>().data(), workers,
                     output->flat<T>().data());
  }
};

template <typename T>
class FirstGradientOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& upstream = context->input(0);
    const Tensor& output = context->input(1);
    const Tensor& filter = context->input(2);
    OP_REQUIRES_OK(context, CheckFilter(filter));
    OP_REQUIRES(context,
                upstream.dims() == 4 && upstream.shape() == output.shape() &&
                    upstream.dim_size(3) == filter.dim_size(3),
                absl::InvalidArgumentError(absl::StrCat(
                    "upstream and output must have one shape, with the "
                    "filter's channels. Received: ",
                    upstream.shape().DebugString(), " and ",
                    output.shape().DebugString())));
    const FirstShape shape = {upstream.dim_size(0), upstream.dim_size(1),
                              upstream.dim_size(2), upstream.dim_size(3)};
    Tensor* gradient;
    OP_REQUIRES_OK(
        context,
        context->allocate_output(
            0, {shape.batch, shape.height + 2, shape.width + 2, kColours},
            &gradient));
    if (shape.batch == 0) return;
    const Workers workers = MakeWorkersFor(context, shape);
    Tensor scratch;
    OP_REQUIRES_OK(context, MakeScratch(context, shape, workers, &scratch));
    FirstGradient(shape, kElement<T>, upstream.flat<T>().data(),
                  output.flat<T>().data(), filter.flat<float>().data(),
                  scratch.flat<uint8_t>().data(), workers,
                  gradient->flat<float>().data());
  }
};

#define TF_STYLE_REGISTER(T)                                       \
  REGISTER_KERNEL_BUILDER(Name("TfStyle>FirstConvolution")         \
                              .Device(tensorflow::DEVICE_CPU)      \
                              .TypeConstraint<T>("T"),             \
                          FirstConvolutionOp<T>);                  \
  REGISTER_KERNEL_BUILDER(Name("TfStyle>FirstConvolutionGradient") \
                              .Device(tensorflow::DEVICE_CPU)      \
                              .TypeConstraint<T>("T"),             \
                          FirstGradientOp<T>)

TF_STYLE_REGISTER(float);
TF_STYLE_REGISTER(tensorflow::bfloat16);

// The shape of input 0, larger by `border` each way, with other channels.
absl::Status SetOutput(InferenceContext* context, int64_t border,
                       DimensionHandle channels) {
  ShapeHandle output;
  TF_RETURN_IF_ERROR(context->WithRank(context->input(0), 4, &output));
  for (int axis : {1, 2}) {
    DimensionHandle side;
    TF_RETURN_IF_ERROR(
        border > 0
            ? context->Add(context->Dim(output, axis), border, &side)
            : context->Subtract(context->Dim(output, axis), -border, &side));
    TF_RETURN_IF_ERROR(context->ReplaceDim(output, axis, side, &output));
  }
  TF_RETURN_IF_ERROR(context->ReplaceDim(output, 3, channels, &output));
  context->set_output(0, output);
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("TfStyle>FirstConvolution")
    .Attr("T: {float, bfloat16}")
    .Input("picture: float")
    .Input("filter: float")
    .Input("bias: float")
    .Output("output: T")
    .SetShapeFn([](InferenceContext* context) {
      ShapeHandle bias;
      TF_RETURN_IF_ERROR(context->WithRank(context->input(2), 1, &bias));
      return SetOutput(context, -2, context->Dim(bias, 0));
    });

REGISTER_OP("TfStyle>FirstConvolutionGradient")
    .Attr("T: {float, bfloat16}")
    .Input("upstream: T")
    .Input("output: T")
    .Input("filter: float")
    .Output("gradient: float")
    .SetShapeFn([](InferenceContext* context) {
      return SetOutput(context, 2, context->MakeDim(kColours));
    });

}  // namespace tf_style
