// The TensorFlow side of conv_relu.h: ops, shape functions, kernels.

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "conv_relu.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow_workers.h"

namespace tf_style {
namespace {

using tensorflow::DT_UINT8;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

template <typename T>
constexpr Element kElement =
    sizeof(T) == sizeof(float) ? Element::kFloat32 : Element::kBfloat16;

int64_t Multiplications(const ConvolutionShape& shape) {
  return 4 * shape.batch * shape.height * shape.width * shape.in_channels *
         shape.out_channels;
}

absl::Status CheckShape(const ConvolutionShape& shape, const Tensor& packed,
                        Element element) {
  if (shape.height < 1 || shape.width < 1) {
    return absl::InvalidArgumentError("input must have at least 1 position");
  }
  for (int64_t channels : {shape.in_channels, shape.out_channels}) {
    if (channels < 1 || channels % kConvolutionChannels != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("channels must be a multiple of ", kConvolutionChannels,
                       ". Received: ", channels));
    }
  }
  const int64_t expected =
      PackedFilterBytes(shape.in_channels, shape.out_channels, element);
  if (packed.NumElements() != expected) {
    return absl::InvalidArgumentError(
        absl::StrCat("packed filter must have ", expected, " bytes for ",
                     shape.in_channels, " input and ", shape.out_channels,
                     " output channels. Received: ", packed.NumElements()));
  }
  return absl::OkStatus();
}

absl::Status Run(OpKernelContext* context, const ConvolutionShape& shape,
                 Element element, const ConvolutionInputs& inputs,
                 void* output) {
  if (shape.batch == 0) return absl::OkStatus();
  const Workers workers = MakeWorkers(context, Multiplications(shape));
  Tensor scratch;
  TF_RETURN_IF_ERROR(context->allocate_temp(
      DT_UINT8,
      TensorShape(
          {static_cast<int64_t>(ConvolutionScratchBytes(shape, workers))}),
      &scratch));
  Convolve(shape, element, inputs, scratch.flat<uint8_t>().data(), workers,
           output);
  return absl::OkStatus();
}

template <typename T>
class PackFilterOp : public OpKernel {
 public:
  explicit PackFilterOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("for_gradient", &for_gradient_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& filter = context->input(0);
    OP_REQUIRES(context,
                filter.dims() == 4 && filter.dim_size(0) == 3 &&
                    filter.dim_size(1) == 3 &&
                    filter.dim_size(2) % kConvolutionChannels == 0 &&
                    filter.dim_size(3) % kConvolutionChannels == 0,
                absl::InvalidArgumentError(absl::StrCat(
                    "filter must have shape [3, 3, in, out] with channels that "
                    "are multiples of ",
                    kConvolutionChannels,
                    ". Received: ", filter.shape().DebugString())));
    const int64_t in = filter.dim_size(2);
    const int64_t out = filter.dim_size(3);
    Tensor* packed;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0,
                                TensorShape({static_cast<int64_t>(
                                    PackedFilterBytes(in, out, kElement<T>))}),
                                &packed));
    PackFilter(filter.flat<float>().data(), in, out, for_gradient_, kElement<T>,
               MakeWorkers(context, 16 * 9 * in * out),
               packed->flat<uint8_t>().data());
  }

 private:
  bool for_gradient_;
};

template <typename T>
class ConvolveOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& input = context->input(0);
    const Tensor& packed = context->input(1);
    const Tensor& bias = context->input(3);
    OP_REQUIRES(context, input.dims() == 4 && bias.dims() == 1,
                absl::InvalidArgumentError(absl::StrCat(
                    "input must have rank 4 and bias rank 1. Received: ",
                    input.dims(), " and ", bias.dims())));
    const ConvolutionShape shape = {input.dim_size(0), input.dim_size(1),
                                    input.dim_size(2), input.dim_size(3),
                                    bias.dim_size(0)};
    OP_REQUIRES_OK(context, CheckShape(shape, packed, kElement<T>));
    Tensor* output;
    OP_REQUIRES_OK(
        context,
        context->allocate_output(
            0, {shape.batch, shape.height, shape.width, shape.out_channels},
            &output));
    const ConvolutionInputs inputs = {input.flat<T>().data(), nullptr,
                                      packed.flat<uint8_t>().data(),
                                      bias.flat<float>().data()};
    OP_REQUIRES_OK(context, Run(context, shape, kElement<T>, inputs,
                                output->flat<T>().data()));
  }
};

template <typename T>
class ConvolveGradientOp : public OpKernel {
 public:
  explicit ConvolveGradientOp(OpKernelConstruction* context)
      : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("channels", &channels_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& upstream = context->input(0);
    const Tensor& output = context->input(1);
    const Tensor& packed = context->input(2);
    OP_REQUIRES(context,
                upstream.dims() == 4 && upstream.shape() == output.shape(),
                absl::InvalidArgumentError(absl::StrCat(
                    "upstream and output must have one shape of rank 4. "
                    "Received: ",
                    upstream.shape().DebugString(), " and ",
                    output.shape().DebugString())));
    const ConvolutionShape shape = {upstream.dim_size(0), upstream.dim_size(1),
                                    upstream.dim_size(2), upstream.dim_size(3),
                                    channels_};
    OP_REQUIRES_OK(context, CheckShape(shape, packed, kElement<T>));
    Tensor* gradient;
    OP_REQUIRES_OK(
        context,
        context->allocate_output(
            0, {shape.batch, shape.height, shape.width, channels_}, &gradient));
    const ConvolutionInputs inputs = {upstream.flat<T>().data(),
                                      output.flat<T>().data(),
                                      packed.flat<uint8_t>().data(), nullptr};
    OP_REQUIRES_OK(context, Run(context, shape, kElement<T>, inputs,
                                gradient->flat<T>().data()));
  }

 private:
  int64_t channels_;
};

#define TF_STYLE_REGISTER(T)                                           \
  REGISTER_KERNEL_BUILDER(Name("TfStyle>PackFilter")                   \
                              .Device(tensorflow::DEVICE_CPU)          \
                              .TypeConstraint<T>("T"),                 \
                          PackFilterOp<T>);                            \
  REGISTER_KERNEL_BUILDER(Name("TfStyle>RectifiedConvolution")         \
                              .Device(tensorflow::DEVICE_CPU)          \
                              .TypeConstraint<T>("T"),                 \
                          ConvolveOp<T>);                              \
  REGISTER_KERNEL_BUILDER(Name("TfStyle>RectifiedConvolutionGradient") \
                              .Device(tensorflow::DEVICE_CPU)          \
                              .TypeConstraint<T>("T"),                 \
                          ConvolveGradientOp<T>)

TF_STYLE_REGISTER(float);
TF_STYLE_REGISTER(tensorflow::bfloat16);

// The picture's shape with other channels.
absl::Status SetOutput(InferenceContext* context, DimensionHandle channels) {
  ShapeHandle input;
  TF_RETURN_IF_ERROR(context->WithRank(context->input(0), 4, &input));
  ShapeHandle output;
  TF_RETURN_IF_ERROR(context->ReplaceDim(input, 3, channels, &output));
  context->set_output(0, output);
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("TfStyle>PackFilter")
    .Attr("T: {float, bfloat16}")
    .Attr("for_gradient: bool")
    .Input("filter: float")
    .Output("packed: uint8")
    .SetShapeFn([](InferenceContext* context) {
      context->set_output(0, context->UnknownShapeOfRank(1));
      return absl::OkStatus();
    });

REGISTER_OP("TfStyle>RectifiedConvolution")
    .Attr("T: {float, bfloat16}")
    .Input("input: T")
    .Input("filter: uint8")
    .Input("gradient_filter: uint8")
    .Input("bias: float")
    .Output("output: T")
    .SetShapeFn([](InferenceContext* context) {
      ShapeHandle bias;
      TF_RETURN_IF_ERROR(context->WithRank(context->input(3), 1, &bias));
      return SetOutput(context, context->Dim(bias, 0));
    });

REGISTER_OP("TfStyle>RectifiedConvolutionGradient")
    .Attr("T: {float, bfloat16}")
    .Attr("channels: int")
    .Input("upstream: T")
    .Input("output: T")
    .Input("filter: uint8")
    .Output("gradient: T")
    .SetShapeFn([](InferenceContext* context) {
      int64_t channels;
      TF_RETURN_IF_ERROR(context->GetAttr("channels", &channels));
      return SetOutput(context, context->MakeDim(channels));
    });

}  // namespace tf_style
