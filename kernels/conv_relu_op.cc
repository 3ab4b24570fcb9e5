// The TensorFlow side of conv_relu.h: ops, shape functions, kernels.

#include "conv_relu.h"
#include "tensorflow_op.h"

namespace tf_style {
namespace {

absl::Status CheckShape(const ConvShape& shape, const Tensor& packed,
                        Element element) {
  if (shape.height < 1 || shape.width < 1) {
    return absl::InvalidArgumentError("input must have at least 1 position");
  }
  for (const int64_t channels : {shape.in_channels, shape.out_channels}) {
    if (channels < 1 || channels % kConvChannels != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("channels must be a multiple of ", kConvChannels,
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

// Checks the shape and computes output 0.
absl::Status Run(OpKernelContext* context, const ConvShape& shape,
                 const Tensor& packed, ConvInputs inputs) {
  const Element element = ElementOf(context->input(0).dtype());
  TF_RETURN_IF_ERROR(CheckShape(shape, packed, element));
  Tensor* output;
  TF_RETURN_IF_ERROR(context->allocate_output(
      0, {shape.batch, shape.height, shape.width, shape.out_channels},
      &output));
  if (shape.batch == 0) return absl::OkStatus();
  const Workers workers =
      MakeWorkers(context, 4 * shape.batch * shape.height * shape.width *
                               shape.in_channels * shape.out_channels);
  Tensor scratch;
  TF_RETURN_IF_ERROR(
      AllocateScratch(context, ConvScratchBytes(shape, workers), &scratch));
  inputs.packed = packed.data();
  Convolve(shape, element, inputs, scratch.data(), workers, output->data());
  return absl::OkStatus();
}

class PackFilterOp : public OpKernel {
 public:
  explicit PackFilterOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("T", &type_));
    OP_REQUIRES_OK(context, context->GetAttr("for_gradient", &for_gradient_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& filter = context->input(0);
    OP_REQUIRES(
        context,
        filter.dims() == 4 && filter.dim_size(0) == 3 &&
            filter.dim_size(1) == 3 &&
            filter.dim_size(2) % kConvChannels == 0 &&
            filter.dim_size(3) % kConvChannels == 0,
        absl::InvalidArgumentError(absl::StrCat(
            "filter must have shape [3, 3, in, out] with channels that "
            "are multiples of ",
            kConvChannels, ". Received: ", filter.shape().DebugString())));
    const int64_t in = filter.dim_size(2);
    const int64_t out = filter.dim_size(3);
    const Element element = ElementOf(type_);
    Tensor* packed;
    OP_REQUIRES_OK(context,
                   context->allocate_output(
                       0, {PackedFilterBytes(in, out, element)}, &packed));
    const Workers workers = MakeWorkers(context, 16 * 9 * in * out);
    Tensor scratch;
    OP_REQUIRES_OK(
        context,
        AllocateScratch(context, PackFilterScratchBytes(in, out, workers),
                        &scratch));
    PackFilter(filter.flat<float>().data(), in, out, for_gradient_, element,
               scratch.data(), workers, packed->data());
  }

 private:
  DataType type_;
  bool for_gradient_;
};

class ConvReluOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& input = context->input(0);
    const Tensor& bias = context->input(3);
    OP_REQUIRES(context, input.dims() == 4 && bias.dims() == 1,
                absl::InvalidArgumentError(absl::StrCat(
                    "input must have rank 4 and bias rank 1. Received: ",
                    input.dims(), " and ", bias.dims())));
    const ConvShape shape = {input.dim_size(0), input.dim_size(1),
                             input.dim_size(2), input.dim_size(3),
                             bias.dim_size(0)};
    ConvInputs inputs = {};
    inputs.input = input.data();
    inputs.bias = bias.flat<float>().data();
    OP_REQUIRES_OK(context, Run(context, shape, context->input(1), inputs));
  }
};

class ConvReluGradientOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

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
    ConvShape shape = {upstream.dim_size(0), upstream.dim_size(1),
                       upstream.dim_size(2), upstream.dim_size(3), 0};
    // The filter's size tells the other number of channels, which a graph may
    // not know.
    const int64_t channel_bytes =
        PackedFilterBytes(shape.in_channels, 1, ElementOf(upstream.dtype()));
    if (channel_bytes > 0) {
      shape.out_channels = packed.NumElements() / channel_bytes;
    }
    ConvInputs inputs = {};
    inputs.input = upstream.data();
    inputs.mask = output.data();
    OP_REQUIRES_OK(context, Run(context, shape, packed, inputs));
  }
};

REGISTER_KERNEL_BUILDER(Name("TfStyle>PackFilter").Device(DEVICE_CPU),
                        PackFilterOp);
REGISTER_KERNEL_BUILDER(Name("TfStyle>ConvRelu").Device(DEVICE_CPU),
                        ConvReluOp);
REGISTER_KERNEL_BUILDER(Name("TfStyle>ConvReluGradient").Device(DEVICE_CPU),
                        ConvReluGradientOp);

}  // namespace

REGISTER_OP("TfStyle>PackFilter")
    .Attr("T: {float, bfloat16}")
    .Attr("for_gradient: bool")
    .Input("filter: float")
    .Output("packed: uint8")
    .SetShapeFn([](InferenceContext* context) {
      context->set_output(0, context->UnknownShapeOfRank(1));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Transforms a filter for Winograd's F(2 x 2, 3 x 3) and packs it for this processor.

CPU only. The form depends on the processor and must not be saved.

T: The type of the activations that the filter is to be multiplied with.
for_gradient: Whether to pack the filter that maps the outputs' gradient to the inputs': rotated
  by 180 degrees, its channels swapped.
filter: [3, 3, in, out]. The numbers of channels are multiples of 16.
packed: For ConvRelu and ConvReluGradient.
)doc");

REGISTER_OP("TfStyle>ConvRelu")
    .Attr("T: {float, bfloat16}")
    .Input("input: T")
    .Input("filter: uint8")
    .Input("gradient_filter: uint8")
    .Input("bias: float")
    .Output("output: T")
    .SetShapeFn([](InferenceContext* context) {
      ShapeHandle bias;
      TF_RETURN_IF_ERROR(context->WithRank(context->input(3), 1, &bias));
      return SetPictureShape(context, 0, context->Dim(bias, 0));
    })
    .Doc(R"doc(
Computes max(conv2d(input, filter) + bias, 0) with 3 x 3 filters, stride 1 and zero padding.

CPU only. Sums are in float32. The result has the same bits whatever the number of threads.

input: [batch, height, width, in].
filter: As PackFilter packs filter [3, 3, in, out].
gradient_filter: The same packed for the gradient, which alone uses it.
bias: [out].
output: [batch, height, width, out].
)doc");

REGISTER_OP("TfStyle>ConvReluGradient")
    .Attr("T: {float, bfloat16}")
    .Input("upstream: T")
    .Input("output: T")
    .Input("filter: uint8")
    .Output("gradient: T")
    .SetShapeFn([](InferenceContext* context) {
      return SetPictureShape(context, 0, context->UnknownDim());
    })
    .Doc(R"doc(
The gradient of ConvRelu with respect to its input.

CPU only. There is no gradient with respect to filter and bias, and no second derivative.

upstream: The gradient with respect to the output, [batch, height, width, out].
output: ConvRelu's output, [batch, height, width, out].
filter: The filter packed for the gradient.
gradient: [batch, height, width, in].
)doc");

}  // namespace tf_style
