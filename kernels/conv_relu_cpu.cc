// Cuts a convolution into tasks, and transforms its filter.

#include <algorithm>
#include <utility>

#include "conv_relu.h"
#include "conv_relu_simd.h"
#include "instruction_set.h"

namespace tf_style {
namespace {

// Tiles of a task: few enough for their transformed inputs and products to stay
// in a second-level cache, and enough to be worth reading a filter for.
constexpr int64_t kTaskTiles = 32;

static_assert(kTaskTiles % kTileAlignment == 0);

// Tasks for each worker, at least, where there is enough work.
constexpr int64_t kTasksPerWorker = 4;

int64_t InputsFloats(const ConvShape& shape) {
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

// Writes the gradient's filter [3, 3, out, in], of filter [3, 3, in, out].
void RotateFilter(const float* filter, int64_t in_channels,
                  int64_t out_channels, float* rotated) {
  for (int64_t tap = 0; tap < 9; ++tap) {
    const float* source = filter + tap * in_channels * out_channels;
    float* target = rotated + (8 - tap) * in_channels * out_channels;
    for (int64_t in = 0; in < in_channels; ++in) {
      for (int64_t out = 0; out < out_channels; ++out) {
        target[out * in_channels + in] = source[in * out_channels + out];
      }
    }
  }
}

}  // namespace

int64_t PackedFilterBytes(int64_t in_channels, int64_t out_channels,
                          Element element) {
  // bfloat16 is widened where the processor cannot multiply it directly.
  const bool is_short = element == Element::kBfloat16 &&
                        CurrentInstructionSet() == InstructionSet::kAvx512Bf16;
  return kPoints * in_channels * out_channels * (is_short ? 2 : 4);
}

size_t PackFilterScratchBytes(int64_t in_channels, int64_t out_channels,
                              const Workers& workers) {
  return (9 + workers.num_workers) * in_channels * out_channels *
             sizeof(float) +
         2 * kMemoryAlignment;
}

void PackFilter(const float* filter, int64_t in_channels, int64_t out_channels,
                bool for_gradient, Element element, void* scratch,
                const Workers& workers, void* packed) {
  const int64_t count = in_channels * out_channels;
  Arena arena(scratch);
  float* rotated = arena.Take(9 * count);
  float* matrices = arena.Take(workers.num_workers * count);
  if (for_gradient) {
    RotateFilter(filter, in_channels, out_channels, rotated);
    filter = rotated;
    std::swap(in_channels, out_channels);
  }
  RunTasks(workers, kPoints, [&](int64_t point, int worker) {
    float* matrix = matrices + worker * count;
    if (element == Element::kFloat32) {
      TransformFilter(filter, in_channels, out_channels, point, matrix);
    } else {
      TransformFilter(filter, in_channels, out_channels, point,
                      reinterpret_cast<Bfloat16*>(matrix));
    }
    CurrentKernels<ConvKernels>(element).pack(matrix, point, in_channels,
                                              out_channels, packed);
  });
}

size_t ConvScratchBytes(const ConvShape& shape, const Workers& workers) {
  const int64_t of_worker = InputsFloats(shape) + kProductsFloats;
  return (shape.in_channels + workers.num_workers * of_worker) * sizeof(float) +
         3 * kMemoryAlignment;
}

void Convolve(const ConvShape& shape, Element element, const ConvInputs& inputs,
              void* scratch, const Workers& workers, void* output) {
  Arena arena(scratch);
  float* zeros = arena.Take(shape.in_channels);
  std::fill_n(zeros, shape.in_channels, 0.0f);
  float* transformed = arena.Take(workers.num_workers * InputsFloats(shape));
  float* products = arena.Take(workers.num_workers * kProductsFloats);
  const int64_t picture_bytes =
      shape.height * shape.width * ElementBytes(element);
  const int64_t num_tiles =
      CeilDivide(shape.height, 2) * CeilDivide(shape.width, 2);
  const int64_t num_blocks = CeilDivide(num_tiles, kTaskTiles);
  // Small pictures are also cut by channels; each part transforms its inputs
  // anew.
  int64_t num_parts = 1;
  while (num_blocks * shape.batch * num_parts <
             kTasksPerWorker * workers.num_workers &&
         shape.out_channels / (2 * num_parts) >= 4 * kConvChannels &&
         shape.out_channels % (2 * num_parts * kConvChannels) == 0) {
    num_parts *= 2;
  }
  RunTasks(workers, shape.batch * num_blocks * num_parts,
           [&](int64_t index, int worker) {
             const int64_t block = index / num_parts;
             const int64_t picture = block / num_blocks;
             ConvInputs source = inputs;
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
             const ConvScratch memory = {
                 zeros, transformed + worker * InputsFloats(shape),
                 products + worker * kProductsFloats};
             CurrentKernels<ConvKernels>(element).convolve(
                 shape, source, tiles, channels, memory,
                 static_cast<char*>(output) +
                     picture * picture_bytes * shape.out_channels);
           });
}

}  // namespace tf_style
