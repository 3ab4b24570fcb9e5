// The TensorFlow side of gram_loss.h: ops, shape functions, kernels.

#include <string>

#include "gram_loss.h"
#include "instruction_set.h"
#include "tensorflow_op.h"
#if defined(TF_STYLE_CUDA)
#include "tensorflow_gpu.h"
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

absl::Status FitError(absl::string_view what, absl::string_view features,
                      absl::string_view given) {
  return absl::InvalidArgumentError(absl::StrCat(
      what, " for features of shape ", features, ". Received: shape ", given));
}

// What the other inputs must be, for FitError.
constexpr char kTarget[] =
    "target must have shape [1 or batch, channels, channels]";
constexpr char kMatrix[] = "matrix must have shape [batch, channels, channels]";
constexpr char kRow[] = "row must have shape [batch, channels]";

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
  if (context->num_outputs() == 1) return absl::OkStatus();
  ShapeHandle mean;
  TF_RETURN_IF_ERROR(context->Subshape(gram, 0, 2, &mean));
  context->set_output(1, mean);
  return absl::OkStatus();
}

// Checks an input, of which axis 0 may be 1 in place of the batch if
// `broadcast`.
absl::Status CheckFits(InferenceContext* context, int index, ShapeHandle wanted,
                       bool broadcast, absl::string_view what) {
  const ShapeHandle given = context->input(index);
  const int rank = context->Rank(wanted);
  ShapeHandle shape;
  DimensionHandle unused;
  bool fits = context->WithRank(given, rank, &shape).ok();
  for (int axis = 0; axis < rank && fits; ++axis) {
    const DimensionHandle side = context->Dim(shape, axis);
    fits = (broadcast && axis == 0 && context->Value(side) == 1) ||
           context->Merge(side, context->Dim(wanted, axis), &unused).ok();
  }
  return fits ? absl::OkStatus()
              : FitError(what, context->DebugString(context->input(0)),
                         context->DebugString(given));
}

absl::Status InferGramLossShape(InferenceContext* context) {
  ShapeHandle gram;
  TF_RETURN_IF_ERROR(InferGram(context, &gram));
  TF_RETURN_IF_ERROR(CheckFits(context, 1, gram, /*broadcast=*/true, kTarget));
  ShapeHandle scale;
  TF_RETURN_IF_ERROR(context->WithRank(context->input(2), 0, &scale));
  context->set_output(0, context->Vector(context->Dim(gram, 0)));
  context->set_output(1, context->input(0));
  return absl::OkStatus();
}

absl::Status InferGramGradientShape(InferenceContext* context) {
  ShapeHandle gram;
  TF_RETURN_IF_ERROR(InferGram(context, &gram));
  TF_RETURN_IF_ERROR(CheckFits(context, 1, gram, /*broadcast=*/false, kMatrix));
  if (context->num_inputs() > 2) {
    const ShapeHandle row =
        context->Matrix(context->Dim(gram, 0), context->Dim(gram, 1));
    TF_RETURN_IF_ERROR(CheckFits(context, 2, row, /*broadcast=*/false, kRow));
  }
  context->set_output(0, context->input(0));
  return absl::OkStatus();
}

absl::Status ReadShape(const Tensor& tensor, Features* features) {
  const TensorShape& dims = tensor.shape();
  if (dims.dims() != 3 && dims.dims() != 4) return RankError(dims.dims());
  features->element = ElementOf(tensor.dtype());
  features->channels = dims.dim_size(dims.dims() - 1);
  features->positions = 1;
  for (int axis = 1; axis < dims.dims() - 1; ++axis) {
    features->positions *= dims.dim_size(axis);
  }
  if (features->positions == 0 || features->channels == 0) {
    return EmptyError(dims.DebugString());
  }
  return absl::OkStatus();
}

int64_t Batch(const OpKernelContext* context) {
  return context->input(0).dim_size(0);
}

absl::Status CheckFits(const OpKernelContext* context, int index,
                       const absl::InlinedVector<int64_t, 4>& wanted,
                       absl::string_view what) {
  const TensorShape& given = context->input(index).shape();
  if (given.dim_sizes() == wanted) return absl::OkStatus();
  return FitError(what, context->input(0).shape().DebugString(),
                  given.DebugString());
}

// Calls function(index, features, scratch, workers) for each picture of the
// op's first input, with TensorFlow's threads.
struct CpuDevice {
  template <typename Function>
  static absl::Status ForEachPicture(OpKernelContext* context,
                                     Features features,
                                     const Function& function) {
    const int64_t channels = features.channels;
    const Workers workers =
        MakeWorkers(context, features.positions * channels * channels);
    Tensor scratch;
    TF_RETURN_IF_ERROR(
        AllocateScratch(context, ScratchBytes(features, workers), &scratch));
    for (int64_t index = 0; index < Batch(context); ++index) {
      features.data = context->input(0).SubSlice(index).data();
      function(index, features, scratch.data(), workers);
    }
    return absl::OkStatus();
  }
};

#if defined(TF_STYLE_CUDA)
// Calls function(index, features, scratch, gpu) likewise, with TensorFlow's
// stream and the cuBLAS that it has loaded.
struct GpuDevice {
  template <typename Function>
  static absl::Status ForEachPicture(OpKernelContext* context,
                                     Features features,
                                     const Function& function) {
    const Gpu gpu = {StreamOf(context), [&](const Product& product) {
                       return Multiply(context, features, product);
                     }};
    Tensor scratch;
    TF_RETURN_IF_ERROR(
        AllocateScratch(context, ScratchBytes(features, gpu), &scratch));
    std::string error;
    for (int64_t index = 0; index < Batch(context) && error.empty(); ++index) {
      features.data = context->input(0).SubSlice(index).data();
      error = function(index, features, scratch.data(), gpu);
    }
    return GpuStatus(error);
  }
};
#endif

// Picture `index` of a tensor.
float* Floats(const Tensor& tensor, int64_t index) {
  return static_cast<float*>(tensor.SubSlice(index).data());
}

template <typename Device>
absl::Status ComputeGram(OpKernelContext* context, const Features& features) {
  Tensor* gram;
  TF_RETURN_IF_ERROR(context->allocate_output(
      0, {Batch(context), features.channels, features.channels}, &gram));
  return Device::ForEachPicture(context, features,
                                [&](int64_t index, const auto&... picture) {
                                  return Gram(picture..., Floats(*gram, index));
                                });
}

template <typename Device>
absl::Status ComputeMoments(OpKernelContext* context,
                            const Features& features) {
  Tensor* products;
  TF_RETURN_IF_ERROR(context->allocate_output(
      0, {Batch(context), features.channels, features.channels}, &products));
  Tensor* mean;
  TF_RETURN_IF_ERROR(
      context->allocate_output(1, {Batch(context), features.channels}, &mean));
  return Device::ForEachPicture(
      context, features, [&](int64_t index, const auto&... picture) {
        Moments(picture..., Floats(*products, index), Floats(*mean, index));
      });
}

template <typename Device>
absl::Status ComputeGramLoss(OpKernelContext* context,
                             const Features& features) {
  const Tensor& target = context->input(1);
  const Tensor& scale = context->input(2);
  const bool is_shared = target.dims() > 0 && target.dim_size(0) == 1;
  TF_RETURN_IF_ERROR(CheckFits(
      context, 1,
      {is_shared ? 1 : Batch(context), features.channels, features.channels},
      kTarget));
  if (scale.dims() != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("scale must have rank 0. Received: shape ",
                     scale.shape().DebugString()));
  }
  Tensor* loss;
  TF_RETURN_IF_ERROR(context->allocate_output(0, {Batch(context)}, &loss));
  Tensor* gradient;
  TF_RETURN_IF_ERROR(
      context->allocate_output(1, context->input(0).shape(), &gradient));
  return Device::ForEachPicture(
      context, features, [&](int64_t index, const auto&... picture) {
        return GramLoss(picture..., Floats(target, is_shared ? 0 : index),
                        scale.flat<float>().data(),
                        loss->flat<float>().data() + index,
                        gradient->SubSlice(index).data());
      });
}

template <typename Device>
absl::Status ComputeGramGradient(OpKernelContext* context,
                                 const Features& features) {
  const Tensor& matrix = context->input(1);
  const int64_t channels = features.channels;
  TF_RETURN_IF_ERROR(
      CheckFits(context, 1, {Batch(context), channels, channels}, kMatrix));
  const bool has_row = context->num_inputs() > 2;
  if (has_row) {
    TF_RETURN_IF_ERROR(CheckFits(context, 2, {Batch(context), channels}, kRow));
  }
  Tensor* gradient;
  TF_RETURN_IF_ERROR(
      context->allocate_output(0, context->input(0).shape(), &gradient));
  return Device::ForEachPicture(
      context, features, [&](int64_t index, const auto&... picture) {
        return GramGradient(
            picture..., matrix.SubSlice(index).data(),
            has_row ? Floats(context->input(2), index) : nullptr,
            gradient->SubSlice(index).data());
      });
}

template <absl::Status (*compute)(OpKernelContext*, const Features&)>
class FeaturesOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    Features features;
    OP_REQUIRES_OK(context, ReadShape(context->input(0), &features));
    OP_REQUIRES_OK(context, compute(context, features));
  }
};

#define TF_STYLE_REGISTER(op, device, WhereItRuns)             \
  REGISTER_KERNEL_BUILDER(Name("TfStyle>" #op).Device(device), \
                          FeaturesOp<Compute##op<WhereItRuns>>)
TF_STYLE_REGISTER(Gram, DEVICE_CPU, CpuDevice);
TF_STYLE_REGISTER(Moments, DEVICE_CPU, CpuDevice);
TF_STYLE_REGISTER(GramLoss, DEVICE_CPU, CpuDevice);
TF_STYLE_REGISTER(GramGradient, DEVICE_CPU, CpuDevice);
#if defined(TF_STYLE_CUDA)
TF_STYLE_REGISTER(Gram, tensorflow::DEVICE_GPU, GpuDevice);
TF_STYLE_REGISTER(GramLoss, tensorflow::DEVICE_GPU, GpuDevice);
TF_STYLE_REGISTER(GramGradient, tensorflow::DEVICE_GPU, GpuDevice);
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

REGISTER_OP("TfStyle>Moments")
    .Attr("T: {float, bfloat16}")
    .Input("features: T")
    .Output("products: float")
    .Output("mean: float")
    .SetShapeFn(InferGramShape)
    .Doc(R"doc(
The mean over positions, and the Gram matrices of the features less it.

CPU. Sums and repeatability are as for Gram.

features: F, [batch, positions, channels] or [batch, height, width, channels].
products: [batch, channels, channels].
mean: [batch, channels].
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

REGISTER_OP("TfStyle>GramGradient")
    .Attr("T: {float, bfloat16}")
    .Attr("num_rows: int >= 0")
    .Input("features: T")
    .Input("matrix: T")
    .Input("row: num_rows * float")
    .Output("gradient: T")
    .SetShapeFn(InferGramGradientShape)
    .Doc(R"doc(
F D + r at each position: the gradient of what depends on Gram matrices, and on means.

Devices, sums and repeatability are as for Gram. With D = dL/dG + (dL/dG)^T it is that of L(G).

features: F, [batch, positions, channels] or [batch, height, width, channels].
matrix: D, [batch, channels, channels].
row: One tensor r, [batch, channels], or none.
gradient: Of the features' shape.
)doc");

}  // namespace tf_style

extern "C" __attribute__((visibility("default"))) const char*
TfStyleInstructionSet() {
  return tf_style::Name(tf_style::CurrentInstructionSet());
}

#if defined(TF_STYLE_CUDA)
// Why this machine's driver cannot run the binary's machine code, or translate
// its PTX; empty if it can.
extern "C" __attribute__((visibility("default"))) const char*
TfStyleGpuDriverProblem(bool of_ptx) {
  thread_local std::string problem;
  problem = tf_style::GpuDriverProblem(of_ptx);
  return problem.c_str();
}
#endif
