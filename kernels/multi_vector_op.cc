// The TensorFlow side of multi_vector.h: ops, shape functions, kernels.

#include "multi_vector.h"
#include "tensorflow_op.h"
#if defined(TF_STYLE_CUDA)
#include "tensorflow_gpu.h"
#endif

namespace tf_style {
namespace {

// The input "vectors" of a batch, each of input 0's shape.
struct Batch {
  absl::Status Read(OpKernelContext* context) {
    const Tensor& q = context->input(0);
    if (q.dims() == 0) {
      return absl::InvalidArgumentError("vector must have a batch's dimension");
    }
    TF_RETURN_IF_ERROR(context->input_list("vectors", &list));
    for (const Tensor& vector : list) {
      if (vector.shape() != q.shape()) {
        return absl::InvalidArgumentError(absl::StrCat(
            "vectors must have the vector's shape ", q.shape().DebugString(),
            ". Received: ", vector.shape().DebugString()));
      }
    }
    count = list.size();
    TF_RETURN_IF_ERROR(AllocateScratch(context, count * sizeof(const void*),
                                       &pointers, /*on_host=*/true));
    batch = q.dim_size(0);
    size = batch == 0 ? 0 : q.NumElements() / batch;
    return absl::OkStatus();
  }

  // The vectors of one element of the batch, until the next call.
  Vectors At(int64_t index) {
    const Element element = ElementOf(list[0].dtype());
    const int64_t offset = index * size * ElementBytes(element);
    const void** data = static_cast<const void**>(pointers.data());
    for (int64_t i = 0; i < count; ++i) {
      data[i] = static_cast<const char*>(list[i].data()) + offset;
    }
    return {size, element, count, data};
  }

  tensorflow::OpInputList list;
  Tensor pointers;  // Scratch for `At`.
  int64_t count;
  int64_t batch;
  int64_t size;
};

// Where the kernels run: TensorFlow's threads or its stream, and the status of
// one that was called there.
struct CpuDevice {
  static Workers Place(OpKernelContext* context, const Batch& batch) {
    return MakeWorkers(context, batch.size * batch.count);
  }

  template <typename Kernel>
  static absl::Status Run(const Kernel& kernel) {
    kernel();
    return absl::OkStatus();
  }
};

#if defined(TF_STYLE_CUDA)
struct GpuDevice {
  static GpuStream Place(OpKernelContext* context, const Batch&) {
    return StreamOf(context);
  }

  template <typename Kernel>
  static absl::Status Run(const Kernel& kernel) {
    return GpuStatus(kernel());
  }
};
#endif

template <typename Device>
class MultiDotOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    Batch batch;
    OP_REQUIRES_OK(context, batch.Read(context));
    Tensor* products;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, {batch.batch, batch.count}, &products));
    const auto place = Device::Place(context, batch);
    Tensor scratch;
    OP_REQUIRES_OK(
        context,
        AllocateScratch(context, MultiDotScratchBytes(batch.At(0), place),
                        &scratch));
    const float* q = context->input(0).flat<float>().data();
    for (int64_t index = 0; index < batch.batch; ++index) {
      OP_REQUIRES_OK(context, Device::Run([&] {
                       return MultiDot(batch.At(index), q + index * batch.size,
                                       scratch.data(), place,
                                       products->flat<double>().data() +
                                           index * batch.count);
                     }));
    }
  }
};

template <typename Device>
class MultiAxpyOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    Batch batch;
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
    const auto place = Device::Place(context, batch);
    for (int64_t index = 0; index < batch.batch; ++index) {
      OP_REQUIRES_OK(context, Device::Run([&] {
                       return MultiAxpy(
                           batch.At(index),
                           factors.flat<float>().data() + index * batch.count,
                           input.flat<float>().data() + index * batch.size,
                           place,
                           output->flat<float>().data() + index * batch.size);
                     }));
    }
  }
};

#define TF_STYLE_REGISTER(op, device, WhereItRuns)             \
  REGISTER_KERNEL_BUILDER(Name("TfStyle>" #op).Device(device), \
                          op##Op<WhereItRuns>)
TF_STYLE_REGISTER(MultiDot, DEVICE_CPU, CpuDevice);
TF_STYLE_REGISTER(MultiAxpy, DEVICE_CPU, CpuDevice);
#if defined(TF_STYLE_CUDA)
TF_STYLE_REGISTER(MultiDot, tensorflow::DEVICE_GPU, GpuDevice);
TF_STYLE_REGISTER(MultiAxpy, tensorflow::DEVICE_GPU, GpuDevice);
#endif

}  // namespace

REGISTER_OP("TfStyle>MultiDot")
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
    })
    .Doc(R"doc(
The scalar products of a vector with m others, for each element of a batch.

CPU, and GPU where built with CUDA. Reads each of the m vectors once. Sums are in float32 within pieces
of 4096 elements, on a GPU within a thread's part of one, and in float64 over them. The result has the
same bits every time and, on a CPU, whatever the number of threads.

vector: [batch, ...].
vectors: m tensors of the same shape.
products: [batch, m].
)doc");

REGISTER_OP("TfStyle>MultiAxpy")
    .Attr("T: {float, bfloat16}")
    .Attr("m: int >= 1")
    .Input("vector: float")
    .Input("factors: float")
    .Input("vectors: m * T")
    .Output("result: float")
    .SetShapeFn([](InferenceContext* context) {
      context->set_output(0, context->input(0));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Computes vector + sum over i of factors[:, i] * vectors[i], for each element of a batch.

CPU, and GPU where built with CUDA. Skips vectors whose factor is 0. Sums are in float32. The result has
the same bits every time and, on a CPU, whatever the number of threads.

vector: [batch, ...].
factors: [batch, m].
vectors: m tensors of the vector's shape.
result: Of the vector's shape; in its memory if nothing else uses that.
)doc");

}  // namespace tf_style
