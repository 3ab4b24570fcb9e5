// Cuts the first convolution into tasks.

#include <algorithm>

#include "instruction_set.h"
#include "rgb_conv_relu.h"
#include "rgb_conv_relu_simd.h"

namespace tf_style {
namespace {

// Rows of a task. A gradient's task also multiplies two of its neighbour's.
constexpr int64_t kTaskRows = 16;

int64_t PackedFloats(const RgbShape& shape) {
  return kRgbPadded * shape.channels;
}

int64_t ScratchFloats(const RgbShape& shape) {
  return kRgbPositions * std::max(kRgbTaps, shape.channels);
}

int64_t ProductsFloats(const RgbShape& shape) {
  return CeilDivide(shape.width, kRgbPositions) * kRgbPositions * kRgbPadded;
}

// Every worker's scratch for a row, zeroed: the products read all of it.
float* TakeRows(const RgbShape& shape, const Workers& workers, Arena* arena) {
  const int64_t count = workers.num_workers * ScratchFloats(shape);
  float* rows = arena->Take(count);
  std::fill_n(rows, count, 0.0f);
  return rows;
}

// Adds one row of products to the row of the picture's gradient that its filter
// row `tap_row` comes from.
void AddProducts(const float* products, int64_t width, int64_t tap_row,
                 float* gradient) {
  for (int64_t x = 0; x < width; ++x) {
    const float* source = products + x * kRgbPadded + tap_row * 9;
    float* target = gradient + x * kColours;
    for (int i = 0; i < 9; ++i) target[i] += source[i];
  }
}

}  // namespace

size_t RgbScratchBytes(const RgbShape& shape, const Workers& workers) {
  const int64_t of_worker = ScratchFloats(shape) + 3 * ProductsFloats(shape);
  return (2 * PackedFloats(shape) + workers.num_workers * of_worker) *
             sizeof(float) +
         4 * kMemoryAlignment;
}

void RgbConvRelu(const RgbShape& shape, Element element, const float* picture,
                 const float* filter, const float* bias, void* scratch,
                 const Workers& workers, void* output) {
  Arena arena(scratch);
  float* packed = arena.Take(PackedFloats(shape));
  const auto& kernels = CurrentKernels<RgbKernels>(element);
  kernels.pack(filter, kRgbTaps, shape.channels, packed);
  float* rows = TakeRows(shape, workers, &arena);
  const int64_t in_row = (shape.width + 2) * kColours;
  const int64_t out_row = shape.width * shape.channels * ElementBytes(element);
  const int64_t num_blocks = CeilDivide(shape.height, kTaskRows);
  RunTasks(workers, shape.batch * num_blocks, [&](int64_t index, int worker) {
    const int64_t image = index / num_blocks;
    const int64_t first = index % num_blocks * kTaskRows;
    for (int64_t y = first; y < std::min(first + kTaskRows, shape.height);
         ++y) {
      kernels.convolve(
          picture + (image * (shape.height + 2) + y) * in_row, in_row,
          shape.width, shape.channels, packed, bias,
          rows + worker * ScratchFloats(shape),
          static_cast<char*>(output) + (image * shape.height + y) * out_row);
    }
  });
}

void RgbConvReluGradient(const RgbShape& shape, Element element,
                         const void* upstream, const void* output,
                         const float* filter, void* scratch,
                         const Workers& workers, float* gradient) {
  Arena arena(scratch);
  float* transposed = arena.Take(PackedFloats(shape));
  std::fill_n(transposed, PackedFloats(shape), 0.0f);
  for (int64_t tap = 0; tap < kRgbTaps; ++tap) {
    for (int64_t channel = 0; channel < shape.channels; ++channel) {
      transposed[channel * kRgbPadded + tap] =
          filter[tap * shape.channels + channel];
    }
  }
  float* packed = arena.Take(PackedFloats(shape));
  const auto& kernels = CurrentKernels<RgbKernels>(element);
  kernels.pack(transposed, shape.channels, kRgbPadded, packed);
  float* rows = TakeRows(shape, workers, &arena);
  float* products = arena.Take(workers.num_workers * 3 * ProductsFloats(shape));
  const int64_t in_row = (shape.width + 2) * kColours;
  const int64_t out_row = shape.width * shape.channels * ElementBytes(element);
  const int64_t in_height = shape.height + 2;
  const int64_t num_blocks = CeilDivide(in_height, kTaskRows);
  RunTasks(workers, shape.batch * num_blocks, [&](int64_t index, int worker) {
    // The worker's products of row y.
    const auto products_of = [&](int64_t y) {
      return products + (3 * worker + y % 3) * ProductsFloats(shape);
    };
    const int64_t image = index / num_blocks;
    const int64_t first = index % num_blocks * kTaskRows;
    const int64_t end = std::min(first + kTaskRows, in_height);
    const auto multiply = [&](int64_t y) {
      const int64_t offset = (image * shape.height + y) * out_row;
      kernels.multiply(static_cast<const char*>(upstream) + offset,
                       static_cast<const char*>(output) + offset, shape.width,
                       shape.channels, packed,
                       rows + worker * ScratchFloats(shape), products_of(y));
    };
    for (int64_t y = std::max(first - 2, int64_t{0}); y < first; ++y) {
      if (y < shape.height) multiply(y);
    }
    for (int64_t y = first; y < end; ++y) {
      if (y < shape.height) multiply(y);
      float* row = gradient + (image * in_height + y) * in_row;
      std::fill_n(row, in_row, 0.0f);
      for (int64_t tap_row = 0; tap_row < 3; ++tap_row) {
        const int64_t source = y - tap_row;
        if (source < 0 || source >= shape.height) continue;
        AddProducts(products_of(source), shape.width, tap_row, row);
      }
    }
  });
}

}  // namespace tf_style
