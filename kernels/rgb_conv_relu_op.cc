// The TensorFlow side of rgb_conv_relu.h: ops, shape functions, kernels.

#include "rgb_conv_relu.h"
#include "tensorflow_op.h"

namespace tf_style {
namespace {

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

Workers MakeWorkersFor(OpKernelContext* context, const RgbShape& shape) {
  return MakeWorkers(context, shape.batch * shape.height * shape.width *
                                  shape.channels * kRgbTaps);
}

class RgbConvReluOp : public OpKernel {
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
    const RgbShape shape = {picture.dim_size(0), picture.dim_size(1) - 2,
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
    OP_REQUIRES_OK(
        context,
        AllocateScratch(context, RgbScratchBytes(shape, workers), &scratch));
    RgbConvRelu(shape, ElementOf(output->dtype()), picture.flat<float>().data(),
                filter.flat<float>().data(), bias.flat<float>().data(),
                scratch.data(), workers, output->data());
  }
};

class RgbConvReluGradientOp : public OpKernel {
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
    const RgbShape shape = {upstream.dim_size(0), upstream.dim_size(1),
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
    OP_REQUIRES_OK(
        context,
        AllocateScratch(context, RgbScratchBytes(shape, workers), &scratch));
    RgbConvReluGradient(shape, ElementOf(upstream.dtype()), upstream.data(),
                        output.data(), filter.flat<float>().data(),
                        scratch.data(), workers,
                        gradient->flat<float>().data());
  }
};

REGISTER_KERNEL_BUILDER(Name("TfStyle>RgbConvRelu").Device(DEVICE_CPU),
                        RgbConvReluOp);
REGISTER_KERNEL_BUILDER(Name("TfStyle>RgbConvReluGradient").Device(DEVICE_CPU),
                        RgbConvReluGradientOp);

}  // namespace

REGISTER_OP("TfStyle>RgbConvRelu")
    .Attr("T: {float, bfloat16}")
    .Input("picture: float")
    .Input("filter: float")
    .Input("bias: float")
    .Output("output: T")
    .SetShapeFn([](InferenceContext* context) {
      ShapeHandle bias;
      TF_RETURN_IF_ERROR(context->WithRank(context->input(2), 1, &bias));
      return SetPictureShape(context, -2, context->Dim(bias, 0));
    })
    .Doc(R"doc(
Computes max(conv2d(picture, filter) + bias, 0) with 3 x 3 filters and stride 1, without padding.

CPU only. Products and sums are in float32, and only the output is rounded to T. The result has the
same bits whatever the number of threads.

picture: [batch, height, width, 3], of 3 or more pixels each way.
filter: [3, 3, 3, channels], with a multiple of 16 channels.
bias: [channels].
output: [batch, height - 2, width - 2, channels].
)doc");

REGISTER_OP("TfStyle>RgbConvReluGradient")
    .Attr("T: {float, bfloat16}")
    .Input("upstream: T")
    .Input("output: T")
    .Input("filter: float")
    .Output("gradient: float")
    .SetShapeFn([](InferenceContext* context) {
      return SetPictureShape(context, 2, context->MakeDim(kColours));
    })
    .Doc(R"doc(
The gradient of RgbConvRelu with respect to the picture.

CPU only. There is no gradient with respect to filter and bias, and no second derivative.

upstream: The gradient with respect to the output, [batch, height - 2, width - 2, channels].
output: RgbConvRelu's output, of the same shape.
filter: [3, 3, 3, channels], with a multiple of 16 channels.
gradient: [batch, height, width, 3].
)doc");

}  // namespace tf_style
