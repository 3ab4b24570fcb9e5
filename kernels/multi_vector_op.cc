// The TensorFlow side of multi_vector.h: ops, shape functions, kernels.

#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow_workers.h"
#include "multi_vector.h"

namespace tf_style {
namespace {

using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;

// The vectors of every position of a batch, each of the shape of input 0.
template <typename T>
struct Batch {
  absl::Status Read(OpKernelContext* context) {
    const Tensor& q = context->input(0);
    if (q.dims() == 0) {
      return absl::InvalidArgumentError("vector must have a batch's dimension");
    }
    const absl::Status status = context->input_list("vectors", &list);
    if (!status.ok()) return status;
    for (const Tensor& vector : list) {
      if (vector.shape() != q.shape()) {
        return absl::InvalidArgumentError(absl::StrCat(
            "vectors must have the vector's shape ", q.shape().DebugString(),
            ". Received: ", vector.shape().DebugString()));
      }
    }
    count = list.size();
    batch = q.dim_size(0);
    size = batch == 0 ? 0 : q.NumElements() / batch;
    return absl::OkStatus();
  }

  // Those of one position.
  Vectors At(int64_t index) const {
    Vectors vectors = {size, Element::kFloat32, {}};
    if (sizeof(T) != sizeof(float)) vectors.element = Element::kBfloat16;
    for (const Tensor& vector : list) {
      vectors.data.push_back(vector.flat<T>().data() + index * size);
    }
    return vectors;
  }

  OpInputList list;
  int64_t count;
  int64_t batch;
  int64_t size;
};

template <typename T>
class ScalarProductsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    Batch<T> batch;
    OP_REQUIRES_OK(context, batch.Read(context));
    Tensor* products;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, {batch.batch, batch.count}, &products));
    const Workers workers = MakeWorkers(context, batch.size * batch.count);
    const float* q = context->input(0).flat<float>().data();
    for (int64_t index = 0; index < batch.batch; ++index) {
      ScalarProducts(batch.At(index), q + index * batch.size, workers,
                     products->flat<double>().data() + index * batch.count);
    }
  }
};

template <typename T>
class AddMultiplesOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    Batch<T> batch;
    OP_REQUIRES_OK(context, batch.Read(context));
    const Tensor& input = context->input(0);
    const Tensor& factors = context->input(1);
    const TensorShape expected({batch.batch, batch.count});
    OP_REQUIRES(context, factors.shape() == expected,
                absl::InvalidArgumentError(absl::StrCat(
                    "factors must have shape ", expected.DebugString(),
                    ". Received: ", factors.shape().DebugString())));
    Tensor* output;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output(
                                {0}, 0, input.shape(), &output));
    float* q = output->flat<float>().data();
    if (q != input.flat<float>().data()) {
      memcpy(q, input.flat<float>().data(), input.TotalBytes());
    }
    const Workers workers = MakeWorkers(context, batch.size * batch.count);
    for (int64_t index = 0; index < batch.batch; ++index) {
      AddMultiples(batch.At(index),
                   factors.flat<float>().data() + index * batch.count, workers,
                   q + index * batch.size);
    }
  }
};

#define TF_STYLE_REGISTER(T)                                  \
  REGISTER_KERNEL_BUILDER(Name("TfStyle>ScalarProducts")      \
                              .Device(tensorflow::DEVICE_CPU) \
                              .TypeConstraint<T>("T"),        \
                          ScalarProductsOp<T>);               \
  REGISTER_KERNEL_BUILDER(Name("TfStyle>AddMultiples")        \
                              .Device(tensorflow::DEVICE_CPU) \
                              .TypeConstraint<T>("T"),        \
                          AddMultiplesOp<T>)

TF_STYLE_REGISTER(float);
TF_STYLE_REGISTER(tensorflow::bfloat16);

}  // namespace

REGISTER_OP("TfStyle>ScalarProducts")
    .Attr("T: {float, bfloat16}")
    .Attr("m: int >= 1")
    .Input("vector: float")
    .Input("vectors: m * T")
    .Output("products: double")
    .SetShapeFn([](InferenceContext* context) {
      DimensionHandle batch = context->UnknownDim();
      if (context->Rank(context->input(0)) > 0) {
        batch = context->Dim(context->input(0), 0);
      }
      context->set_output(0, context->Matrix(batch, context->num_inputs() - 1));
      return absl::OkStatus();
    });

REGISTER_OP("TfStyle>AddMultiples")
    .Attr("T: {float, bfloat16}")
    .Attr("m: int >= 1")
    .Input("vector: float")
    .Input("factors: float")
    .Input("vectors: m * T")
    .Output("result: float")
    .SetShapeFn([](InferenceContext* context) {
      context->set_output(0, context->input(0));
      return absl::OkStatus();
    });

}  // namespace tf_style
