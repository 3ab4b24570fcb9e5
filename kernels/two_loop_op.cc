// The TensorFlow side of two_loop.h: ops, shape functions, kernels.

#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow_workers.h"
#include "two_loop.h"

namespace tf_style {
namespace {

using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::shape_inference::InferenceContext;

// One op for both halves: what differs is one input and one output.
template <typename T, bool kIsFirst>
class LoopOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& input = context->input(0);
    OpInputList steps, differences, curvatures;
    OP_REQUIRES_OK(context, context->input_list("steps", &steps));
    OP_REQUIRES_OK(context, context->input_list("differences", &differences));
    OP_REQUIRES_OK(context, context->input_list("curvatures", &curvatures));
    const int64_t count = steps.size();
    const int64_t batch = input.dims() == 0 ? 0 : input.dim_size(0);
    for (int64_t i = 0; i < count; ++i) {
      OP_REQUIRES(context,
                  steps[i].shape() == input.shape() &&
                      differences[i].shape() == input.shape() &&
                      curvatures[i].NumElements() == batch,
                  absl::InvalidArgumentError(absl::StrCat(
                      "steps and differences must have the vector's shape ",
                      input.shape().DebugString(),
                      ", and curvatures the batch's. Received: ",
                      steps[i].shape().DebugString(), ", ",
                      differences[i].shape().DebugString(), " and ",
                      curvatures[i].shape().DebugString(), " for pair ", i)));
    }
    Tensor* output;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output(
                                {0}, 0, input.shape(), &output));
    float* q = output->flat<float>().data();
    if (q != input.flat<float>().data()) {
      memcpy(q, input.flat<float>().data(), input.TotalBytes());
    }
    Tensor* new_alphas = nullptr;
    const float* alphas = nullptr;
    if (kIsFirst) {
      OP_REQUIRES_OK(context,
                     context->allocate_output(1, {batch, count}, &new_alphas));
    } else {
      const Tensor& given = context->input(1);
      OP_REQUIRES(context, given.NumElements() == batch * count,
                  absl::InvalidArgumentError(absl::StrCat(
                      "alphas must have shape [", batch, ", ", count,
                      "]. Received: ", given.shape().DebugString())));
      alphas = given.flat<float>().data();
    }
    Pairs pairs;
    pairs.size = batch == 0 ? 0 : input.NumElements() / batch;
    pairs.element =
        sizeof(T) == sizeof(float) ? Element::kFloat32 : Element::kBfloat16;
    const Workers workers = MakeWorkers(context, pairs.size);
    for (int64_t index = 0; index < batch; ++index) {
      pairs.steps.clear();
      pairs.differences.clear();
      pairs.curvatures.clear();
      for (int64_t i = 0; i < count; ++i) {
        const int64_t offset = index * pairs.size;
        pairs.steps.push_back(steps[i].flat<T>().data() + offset);
        pairs.differences.push_back(differences[i].flat<T>().data() + offset);
        pairs.curvatures.push_back(curvatures[i].flat<float>()(index));
      }
      float* part = q + index * pairs.size;
      if (kIsFirst) {
        FirstLoop(pairs, workers, part,
                  new_alphas->flat<float>().data() + index * count);
      } else {
        SecondLoop(pairs, alphas + index * count, workers, part);
      }
    }
  }
};

#define TF_STYLE_REGISTER(T)                                  \
  REGISTER_KERNEL_BUILDER(Name("TfStyle>FirstLoop")           \
                              .Device(tensorflow::DEVICE_CPU) \
                              .TypeConstraint<T>("T"),        \
                          LoopOp<T, true>);                   \
  REGISTER_KERNEL_BUILDER(Name("TfStyle>SecondLoop")          \
                              .Device(tensorflow::DEVICE_CPU) \
                              .TypeConstraint<T>("T"),        \
                          LoopOp<T, false>)

TF_STYLE_REGISTER(float);
TF_STYLE_REGISTER(tensorflow::bfloat16);

}  // namespace

REGISTER_OP("TfStyle>FirstLoop")
    .Attr("T: {float, bfloat16}")
    .Attr("m: int >= 1")
    .Input("vector: float")
    .Input("steps: m * T")
    .Input("differences: m * T")
    .Input("curvatures: m * float")
    .Output("result: float")
    .Output("alphas: float")
    .SetShapeFn([](InferenceContext* context) {
      context->set_output(0, context->input(0));
      context->set_output(1, context->UnknownShapeOfRank(2));
      return absl::OkStatus();
    });

REGISTER_OP("TfStyle>SecondLoop")
    .Attr("T: {float, bfloat16}")
    .Attr("m: int >= 1")
    .Input("vector: float")
    .Input("alphas: float")
    .Input("steps: m * T")
    .Input("differences: m * T")
    .Input("curvatures: m * float")
    .Output("result: float")
    .SetShapeFn([](InferenceContext* context) {
      context->set_output(0, context->input(0));
      return absl::OkStatus();
    });

}  // namespace tf_style
