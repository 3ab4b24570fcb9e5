// kernels/*_gpu.cu behind C functions, with cuBLAS from a library that is
// loaded by name: for cuda_kernels.py, which has neither TensorFlow nor CUDA's
// headers. All work goes to the default stream.

#include <dlfcn.h>

#include <cstdint>
#include <string>

#include "gram_loss.h"
#include "multi_vector.h"

namespace {

using tf_style::Element;
using tf_style::Features;
using tf_style::Gpu;
using tf_style::GpuStream;
using tf_style::Product;
using tf_style::Vectors;

// cuBLAS's, of cublas_api.h and library_types.h.
using Create = int (*)(void** handle);
using Multiply = int (*)(void* handle, int transpose_left, int transpose_right,
                         int rows, int columns, int depth, const void* one,
                         const void* left, int left_type, int left_step,
                         long long left_stride, const void* right,
                         int right_type, int right_step, long long right_stride,
                         const void* zero, void* result, int result_type,
                         int result_step, long long result_stride, int count,
                         int computation, int algorithm);
constexpr int kFloat32 = 0;
constexpr int kBfloat16 = 14;
constexpr int kSumsInFloat32 = 68;
constexpr int kDefaultAlgorithm = -1;

Multiply multiply;
void* handle;
std::string message;

const char* Tell(const std::string& text) {
  message = text;
  return message.c_str();
}

Element ElementOf(bool is_bfloat16) {
  return is_bfloat16 ? Element::kBfloat16 : Element::kFloat32;
}

Gpu Place(const Features& features) {
  const int type = features.element == Element::kFloat32 ? kFloat32 : kBfloat16;
  const int channels = features.channels;
  return {{nullptr}, [=](const Product& product) -> std::string {
            const float one = 1;
            const float zero = 0;
            const int error = multiply(
                handle, 0, product.transpose_right, product.rows,
                product.columns, product.depth, &one, product.left, type,
                channels, product.operand_stride, product.right, type, channels,
                product.operand_stride, &zero, product.result,
                product.float32_result ? kFloat32 : type, channels,
                product.result_stride, product.count, kSumsInFloat32,
                kDefaultAlgorithm);
            return error ? "cuBLAS: error " + std::to_string(error) : "";
          }};
}

}  // namespace

extern "C" {

// Functions return an error or an empty string.
const char* Begin(const char* cublas) {
  void* const library = dlopen(cublas, RTLD_NOW);
  if (library == nullptr) return Tell(dlerror());
  multiply =
      reinterpret_cast<Multiply>(dlsym(library, "cublasGemmStridedBatchedEx"));
  const auto create =
      reinterpret_cast<Create>(dlsym(library, "cublasCreate_v2"));
  if (multiply == nullptr || create == nullptr) return Tell(dlerror());
  const int error = create(&handle);
  return Tell(error ? "cuBLAS: error " + std::to_string(error) : "");
}

int64_t GramBytes(int64_t positions, int64_t channels, bool is_bfloat16) {
  const Features features = {positions, channels, ElementOf(is_bfloat16), {}};
  return ScratchBytes(features, Place(features));
}

const char* RunGram(int64_t positions, int64_t channels, bool is_bfloat16,
                    const void* data, void* scratch, float* gram) {
  const Features features = {positions, channels, ElementOf(is_bfloat16), data};
  return Tell(Gram(features, scratch, Place(features), gram));
}

const char* RunGramLoss(int64_t positions, int64_t channels, bool is_bfloat16,
                        const void* data, void* scratch, const float* target,
                        const float* scale, float* loss, void* gradient) {
  const Features features = {positions, channels, ElementOf(is_bfloat16), data};
  return Tell(GramLoss(features, scratch, Place(features), target, scale, loss,
                       gradient));
}

int64_t DotBytes(int64_t size, bool is_bfloat16, int64_t count,
                 const void* const* data) {
  const Vectors vectors = {size, ElementOf(is_bfloat16), count, data};
  return MultiDotScratchBytes(vectors, GpuStream{nullptr});
}

const char* RunDot(int64_t size, bool is_bfloat16, int64_t count,
                   const void* const* data, const float* q, void* scratch,
                   double* products) {
  const Vectors vectors = {size, ElementOf(is_bfloat16), count, data};
  return Tell(MultiDot(vectors, q, scratch, GpuStream{nullptr}, products));
}

const char* RunAxpy(int64_t size, bool is_bfloat16, int64_t count,
                    const void* const* data, const float* factors,
                    const float* q, float* result) {
  const Vectors vectors = {size, ElementOf(is_bfloat16), count, data};
  return Tell(MultiAxpy(vectors, factors, q, GpuStream{nullptr}, result));
}

}  // extern "C"
