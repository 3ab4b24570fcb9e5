// How a convolution is cut into tasks, and how its filter is transformed.

#include <algorithm>
#include <vector>

#include "conv_relu.h"
#include "conv_relu_simd.h"
#include "instruction_set.h"

namespace tf_style {
namespace {

// Tiles of a task: their transformed inputs and products stay in a second-level
// cache, and they are worth the reading of a filter.
constexpr int64_t kTaskTiles = 32;

static_assert(kTaskTiles % kTileAlignment == 0);

// Tasks for each worker, at least, where there is work for so many.
constexpr int64_t kTasksPerWorker = 4;

const ConvolutionKernels& Kernels() {
  switch (CurrentInstructionSet()) {
#if defined(__x86_64__)
    case InstructionSet::kAvx2:
      return Avx2ConvolutionKernels();
    case InstructionSet::kAvx512:
      return Avx512ConvolutionKernels();
    case InstructionSet::kAvx512Bf16:
      return Avx512Bf16ConvolutionKernels();
#endif
    default:
      return PortableConvolutionKernels();
  }
}

int64_t ZerosFloats(const ConvolutionShape& shape) { return shape.in_channels; }

int64_t InputsFloats(const ConvolutionShape& shape) {
  return kPoints * kTaskTiles * shape.in_channels;
}

constexpr int64_t kProductsFloats = kPoints * kTaskTiles * kGroupChannels;

// G of F(2, 3).
constexpr float kFilterTransform[4][3] = {
    {1.0f, 0.0f, 0.0f},
    {0.5f, 0.5f, 0.5f},
    {0.5f, -0.5f, 0.5f},
    {0.0f, 0.0f, 1.0f},
};

// Writes one point of G g G^T for every pair of channels, [in, out].
template <typename T>
void TransformFilter(const float* filter, int64_t in_channels,
                     int64_t out_channels, int64_t point, T* matrix) {
  const float* down = kFilterTransform[point / 4];
  const float* across = kFilterTransform[point % 4];
  for (int64_t in = 0; in < in_channels; ++in) {
    for (int64_t out = 0; out < out_channels; ++out) {
      float sum = 0;
      for (int i = 0; i < 3; ++i) {
        for (int j = 0; j < 3; ++j) {
          const int64_t tap = (3 * i + j) * in_channels + in;
          sum += down[i] * across[j] * filter[tap * out_channels + out];
        }
      }
      matrix[in * out_channels + out] = static_cast<T>(sum);
    }
  }
}

// The filter of the gradient: [3, 3, out, in] from [3, 3, in, out].
std::vector<float> Turned(const float* filter, int64_t in_channels,
                          int64_t out_channels) {
  std::vector<float> turned(9 * in_channels * out_channels);
  for (int64_t tap = 0; tap < 9; ++tap) {
    const float* source = filter + tap * in_channels * out_channels;
    float* target = turned.data() + (8 - tap) * in_channels * out_channels;
    for (int64_t in = 0; in < in_channels; ++in) {
      for (int64_t out = 0; out < out_channels; ++out) {
        target[out * in_channels + in] = source[in * out_channels + out];
      }
    }
  }
  return turned;
}

}  // namespace

size_t PackedFilterBytes(int64_t in_channels, int64_t out_channels,
                         Element element) {
  // Where bfloat16 cannot be multiplied as it is, it is widened.
  const bool is_short = element == Element::kBfloat16 &&
                        CurrentInstructionSet() == InstructionSet::kAvx512Bf16;
  return kPoints * in_channels * out_channels * (is_short ? 2 : 4);
}

void PackFilter(const float* filter, int64_t in_channels, int64_t out_channels,
                bool for_gradient, Element element, const Workers& workers,
                void* packed) {
  std::vector<float> turned;
  if (for_gradient) {
    turned = Turned(filter, in_channels, out_channels);
    filter = turned.data();
    std::swap(in_channels, out_channels);
  }
  RunTasks(workers, kPoints, [&](int64_t point, int) {
    const int64_t count = in_channels * out_channels;
    std::vector<float> matrix(count);
    if (element == Element::kFloat32) {
      TransformFilter(filter, in_channels, out_channels, point, matrix.data());
    } else {
      TransformFilter(filter, in_channels, out_channels, point,
                      reinterpret_cast<Bfloat16*>(matrix.data()));
    }
    Kernels().pack(element, matrix.data(), point, in_channels, out_channels,
                   packed);
  });
}

size_t ConvolutionScratchBytes(const ConvolutionShape& shape,
                               const Workers& workers) {
  const int64_t floats =
      ZerosFloats(shape) + InputsFloats(shape) + kProductsFloats;
  return workers.num_workers * (floats * sizeof(float) + 4 * kMemoryAlignment);
}

void Convolve(const ConvolutionShape& shape, Element element,
              const ConvolutionInputs& inputs, void* scratch,
              const Workers& workers, void* output) {
  Arena arena(scratch);
  std::vector<ConvolutionScratch> of_worker(workers.num_workers);
  for (ConvolutionScratch& memory : of_worker) {
    memory.zeros = arena.Take(ZerosFloats(shape));
    std::fill_n(static_cast<float*>(memory.zeros), ZerosFloats(shape), 0.0f);
    memory.inputs = arena.Take(InputsFloats(shape));
    memory.products = arena.Take(kProductsFloats);
  }
  const int64_t picture_bytes =
      shape.height * shape.width * ElementBytes(element);
  const int64_t num_tiles =
      CeilDivide(shape.height, 2) * CeilDivide(shape.width, 2);
  const int64_t num_blocks = CeilDivide(num_tiles, kTaskTiles);
  // Small pictures are cut by channels too; each part transforms its inputs
  // again.
  int64_t num_parts = 1;
  while (num_blocks * shape.batch * num_parts <
             kTasksPerWorker * workers.num_workers &&
         shape.out_channels / (2 * num_parts) >= 4 * kConvolutionChannels &&
         shape.out_channels % (2 * num_parts * kConvolutionChannels) == 0) {
    num_parts *= 2;
  }
  RunTasks(workers, shape.batch * num_blocks * num_parts,
           [&](int64_t index, int worker) {
             const int64_t block = index / num_parts;
             const int64_t picture = block / num_blocks;
             ConvolutionInputs source = inputs;
             const int64_t in_offset =
                 picture * picture_bytes * shape.in_channels;
             source.input = static_cast<const char*>(inputs.input) + in_offset;
             if (inputs.mask != nullptr) {
               source.mask = static_cast<const char*>(inputs.mask) + in_offset;
             }
             TileRange tiles = {block % num_blocks * kTaskTiles, kTaskTiles};
             tiles.count = std::min(tiles.count, num_tiles - tiles.first);
             const int64_t count = shape.out_channels / num_parts;
             const ChannelRange channels = {index % num_parts * count, count};
             Kernels().convolve(
                 shape, element, source, tiles, channels, of_worker[worker],
                 static_cast<char*>(output) +
                     picture * picture_bytes * shape.out_channels);
           });
}

}  // namespace tf_style
