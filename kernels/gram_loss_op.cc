// The TensorFlow side of gram_loss.h: ops, shape functions, kernels.

#include <string>

#include "gram_loss.h"
#include "instruction_set.h"
#include "tensorflow_op.h"
#if defined(TF_STYLE_CUDA)
#include "tsl/platform/tensor_float_32_utils.h"
#include "xla/stream_executor/blas.h"
#include "xla/stream_executor/device_address.h"
#include "xla/stream_executor/engine_options.h"
#include "xla/stream_executor/stream.h"
#include "xla/stream_executor/stream_executor.h"
#endif

namespace tf_style {
namespace {

absl::Status RankError(int rank) {
  return absl::InvalidArgumentError(absl::StrCat(
      "features must have rank 3, [batch, positions, channels], or "
      "4, [batch, height, width, channels]. Received: rank ",
      rank));
}

absl::Status EmptyError(absl::string_view shape) {
  return absl::InvalidArgumentError(
      absl::StrCat("features must have at least 1 position and 1 channel. "
                   "Received: shape ",
                   shape));
}

absl::Status TargetError(absl::string_view features, absl::string_view target) {
  return absl::InvalidArgumentError(absl::StrCat(
      "target must have shape [1 or batch, channels, channels] for features of "
      "shape ",
      features, ". Received: shape ", target));
}

absl::Status InferGram(InferenceContext* context, ShapeHandle* gram) {
  const ShapeHandle features = context->input(0);
  if (!context->RankKnown(features)) {
    *gram = context->UnknownShapeOfRank(3);
    return absl::OkStatus();
  }
  const int rank = context->Rank(features);
  if (rank != 3 && rank != 4) return RankError(rank);
  for (int axis = 1; axis < rank; ++axis) {
    if (context->Value(context->Dim(features, axis)) == 0) {
      return EmptyError(context->DebugString(features));
    }
  }
  const DimensionHandle channels = context->Dim(features, -1);
  *gram = context->MakeShape({context->Dim(features, 0), channels, channels});
  return absl::OkStatus();
}

absl::Status InferGramShape(InferenceContext* context) {
  ShapeHandle gram;
  TF_RETURN_IF_ERROR(InferGram(context, &gram));
  context->set_output(0, gram);
  return absl::OkStatus();
}

absl::Status InferGramLossShape(InferenceContext* context) {
  ShapeHandle gram;
  TF_RETURN_IF_ERROR(InferGram(context, &gram));
  const ShapeHandle target = context->input(1);
  ShapeHandle matrix;
  bool fits = context->WithRank(target, 3, &matrix).ok();
  if (fits && context->RankKnown(target)) {
    DimensionHandle unused;
    for (int axis = 0; axis < 3; ++axis) {
      const DimensionHandle given = context->Dim(target, axis);
      const bool broadcast = axis == 0 && context->Value(given) == 1;
      fits = fits &&
             (broadcast ||
              context->Merge(given, context->Dim(gram, axis), &unused).ok());
    }
  }
  if (!fits) {
    return TargetError(context->DebugString(context->input(0)),
                       context->DebugString(target));
  }
  ShapeHandle scale;
  TF_RETURN_IF_ERROR(context->WithRank(context->input(2), 0, &scale));
  context->set_output(0, context->Vector(context->Dim(gram, 0)));
  context->set_output(1, context->input(0));
  return absl::OkStatus();
}

absl::Status ReadShape(const Tensor& features, GramShape* shape) {
  const TensorShape& dims = features.shape();
  if (dims.dims() != 3 && dims.dims() != 4) return RankError(dims.dims());
  shape->batch = dims.dim_size(0);
  shape->channels = dims.dim_size(dims.dims() - 1);
  shape->positions = 1;
  for (int axis = 1; axis < dims.dims() - 1; ++axis) {
    shape->positions *= dims.dim_size(axis);
  }
  if (shape->positions == 0 || shape->channels == 0) {
    return EmptyError(dims.DebugString());
  }
  return absl::OkStatus();
}

absl::Status ReadLossInputs(const Tensor& features, const Tensor& target,
                            const Tensor& scale, const GramShape& shape,
                            LossInputs* inputs) {
  const bool fits =
      target.dims() == 3 &&
      (target.dim_size(0) == 1 || target.dim_size(0) == shape.batch) &&
      target.dim_size(1) == shape.channels &&
      target.dim_size(2) == shape.channels;
  if (!fits) {
    return TargetError(features.shape().DebugString(),
                       target.shape().DebugString());
  }
  if (scale.dims() != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("scale must have rank 0. Received: shape ",
                     scale.shape().DebugString()));
  }
  inputs->target = target.flat<float>().data();
  inputs->target_batch = target.dim_size(0);
  inputs->scale = scale.flat<float>().data();
  return absl::OkStatus();
}

// Runs gram_loss.h's functions for the CPU on TensorFlow's threads.
class CpuDevice {
 public:
  CpuDevice(OpKernelContext* context, const GramShape& shape)
      : workers_(MakeWorkers(
            context, shape.positions * shape.channels * shape.channels)) {}

  size_t ScratchBytes(const GramShape& shape) const {
    return CpuScratchBytes(shape, workers_.num_workers);
  }

  absl::Status Gram(const GramShape& shape, Element element,
                    const void* features, void* scratch, float* gram) const {
    GramCpu(shape, element, features, scratch, workers_, gram);
    return absl::OkStatus();
  }

  absl::Status GramLoss(const GramShape& shape, Element element,
                        const void* features, const LossInputs& inputs,
                        void* scratch, float* loss, void* gradient) const {
    GramLossCpu(shape, element, features, inputs, scratch, workers_, loss,
                gradient);
    return absl::OkStatus();
  }

 private:
  Workers workers_;
};

#if defined(TF_STYLE_CUDA)
// Runs gram_loss.h's functions for the GPU on TensorFlow's stream, with the
// cuBLAS that TensorFlow has loaded.
class GpuDevice {
 public:
  GpuDevice(OpKernelContext* context, const GramShape&)
      : stream_(context->op_device_context()->stream()) {}

  size_t ScratchBytes(const GramShape& shape) const {
    return GpuScratchBytes(shape);
  }

  absl::Status Gram(const GramShape& shape, Element element,
                    const void* features, void* scratch, float* gram) const {
    return ToStatus(GramGpu(shape, element, features, scratch,
                            MakeGpu(shape, element), gram));
  }

  absl::Status GramLoss(const GramShape& shape, Element element,
                        const void* features, const LossInputs& inputs,
                        void* scratch, float* loss, void* gradient) const {
    return ToStatus(GramLossGpu(shape, element, features, inputs, scratch,
                                MakeGpu(shape, element), loss, gradient));
  }

 private:
  static absl::Status ToStatus(const std::string& error) {
    if (error.empty()) return absl::OkStatus();
    return absl::InternalError(absl::StrCat("the Gram op on the GPU: ", error));
  }

  Gpu MakeGpu(const GramShape& shape, Element element) const {
    return {stream_->platform_specific_handle().stream,
            [this, shape, element](const Product& product) {
              return Multiply(shape.channels, element, product);
            }};
  }

  std::string Multiply(int64_t channels, Element element,
                       const Product& product) const {
    namespace se = stream_executor;
    se::blas::BlasSupport* blas = stream_->parent()->AsBlas();
    if (blas == nullptr) return "TensorFlow has no cuBLAS for this device";
    const auto type = element == Element::kFloat32 ? se::blas::DataType::kFloat
                                                   : se::blas::DataType::kBF16;
    const auto result_type =
        product.float32_result ? se::blas::DataType::kFloat : type;
    const bool allow_tf32 = tsl::tensor_float_32_execution_enabled();
    const auto computation = element == Element::kFloat32 && allow_tf32
                                 ? se::blas::ComputationType::kTF32AsF32
                                 : se::blas::ComputationType::kF32;
    const se::EngineOptions options(/*require_determinism=*/false, allow_tf32,
                                    /*require_command_buffer=*/false);
    const float one = 1;
    const float zero = 0;
    se::DeviceAddressBase result(product.result);
    const absl::Status status = blas->DoBlasGemmStridedBatchedWithAlgorithm(
        stream_, se::blas::Transpose::kNoTranspose,
        product.transpose_right ? se::blas::Transpose::kTranspose
                                : se::blas::Transpose::kNoTranspose,
        product.rows, product.columns, product.depth, &one,
        se::DeviceAddressBase(const_cast<void*>(product.left)), type, channels,
        product.operand_stride,
        se::DeviceAddressBase(const_cast<void*>(product.right)), type, channels,
        product.operand_stride, &zero, &result, result_type, channels,
        product.result_stride, product.count, computation,
        se::blas::kDefaultGemmAlgo, options, /*output_profile_result=*/nullptr,
        se::blas::CallContext::kNone);
    return status.ok() ? "" : std::string(status.message());
  }

  stream_executor::Stream* stream_;
};
#endif

template <typename Device>
class GramOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& features = context->input(0);
    GramShape shape;
    OP_REQUIRES_OK(context, ReadShape(features, &shape));
    Tensor* gram;
    OP_REQUIRES_OK(
        context, context->allocate_output(
                     0, {shape.batch, shape.channels, shape.channels}, &gram));
    const Device device(context, shape);
    Tensor scratch;
    OP_REQUIRES_OK(context, AllocateScratch(context, device.ScratchBytes(shape),
                                            &scratch));
    OP_REQUIRES_OK(context, device.Gram(shape, ElementOf(features.dtype()),
                                        features.data(), scratch.data(),
                                        gram->flat<float>().data()));
  }
};

template <typename Device>
class GramLossOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& features = context->input(0);
    GramShape shape;
    OP_REQUIRES_OK(context, ReadShape(features, &shape));
    LossInputs inputs;
    OP_REQUIRES_OK(context, ReadLossInputs(features, context->input(1),
                                           context->input(2), shape, &inputs));
    Tensor* loss;
    OP_REQUIRES_OK(context, context->allocate_output(0, {shape.batch}, &loss));
    Tensor* gradient;
    OP_REQUIRES_OK(context,
                   context->allocate_output(1, features.shape(), &gradient));
    const Device device(context, shape);
    Tensor scratch;
    OP_REQUIRES_OK(context, AllocateScratch(context, device.ScratchBytes(shape),
                                            &scratch));
    OP_REQUIRES_OK(
        context, device.GramLoss(shape, ElementOf(features.dtype()),
                                 features.data(), inputs, scratch.data(),
                                 loss->flat<float>().data(), gradient->data()));
  }
};

REGISTER_KERNEL_BUILDER(Name("TfStyle>Gram").Device(DEVICE_CPU),
                        GramOp<CpuDevice>);
REGISTER_KERNEL_BUILDER(Name("TfStyle>GramLoss").Device(DEVICE_CPU),
                        GramLossOp<CpuDevice>);
#if defined(TF_STYLE_CUDA)
REGISTER_KERNEL_BUILDER(Name("TfStyle>Gram").Device(tensorflow::DEVICE_GPU),
                        GramOp<GpuDevice>);
REGISTER_KERNEL_BUILDER(Name("TfStyle>GramLoss").Device(tensorflow::DEVICE_GPU),
                        GramLossOp<GpuDevice>);
#endif

}  // namespace

REGISTER_OP("TfStyle>Gram")
    .Attr("T: {float, bfloat16}")
    .Input("features: T")
    .Output("gram: float")
    .SetShapeFn(InferGramShape)
    .Doc(R"doc(
The Gram matrices G[i, j] = sum{ F[p, i] * F[p, j] : p }, not normalised.

CPU, and GPU where built with CUDA. Sums are in float32. The result has the same bits every time and, on
a CPU, whatever the number of threads.

features: F, [batch, positions, channels] or [batch, height, width, channels].
gram: [batch, channels, channels].
)doc");

REGISTER_OP("TfStyle>GramLoss")
    .Attr("T: {float, bfloat16}")
    .Input("features: T")
    .Input("target: float")
    .Input("scale: float")
    .Output("loss: float")
    .Output("gradient: T")
    .SetShapeFn(InferGramLossShape)
    .Doc(R"doc(
The style loss of one layer, scale * sum{ (G - target)^2 }, and its gradient.

Devices, sums and repeatability are as for Gram, which says what G is.

features: F, [batch, positions, channels] or [batch, height, width, channels].
target: [batch or 1, channels, channels].
scale: A scalar.
loss: [batch].
gradient: d loss / d F = 2 * scale * F ((G - target) + (G - target)^T), of the features' shape.
)doc");

}  // namespace tf_style

extern "C" __attribute__((visibility("default"))) const char*
TfStyleInstructionSet() {
  return tf_style::Name(tf_style::CurrentInstructionSet());
}

#if defined(TF_STYLE_CUDA)
// Why the Gram ops cannot run on the GPU; empty if they can.
extern "C" __attribute__((visibility("default"))) const char*
TfStyleGpuProblem() {
  static const std::string problem = tf_style::GpuProblem();
  return problem.c_str();
}
#endif
