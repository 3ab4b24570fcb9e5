// How the first convolution is cut into tasks.

#include <algorithm>
#include <vector>

#include "rgb_conv_relu.h"
#include "rgb_conv_relu_simd.h"
#include "instruction_set.h"

namespace tf_style {
namespace {

// Rows of a task. A gradient's task multiplies two more, of its neighbour's.
constexpr int64_t kTaskRows = 16;

const FirstKernels& Kernels() {
  switch (CurrentInstructionSet()) {
#if defined(__x86_64__)
    case InstructionSet::kAvx2:
      return Avx2FirstKernels();
    case InstructionSet::kAvx512:
      return Avx512FirstKernels();
    case InstructionSet::kAvx512Bf16:
      return Avx512Bf16FirstKernels();
#endif
    default:
      return PortableFirstKernels();
  }
}

int64_t PackedFloats(const FirstShape& shape) {
  return kFirstPadded * shape.channels;
}

int64_t ScratchFloats(const FirstShape& shape) {
  return kFirstPositions * std::max(kFirstTaps, shape.channels);
}

int64_t ProductsFloats(const FirstShape& shape) {
  return CeilDivide(shape.width, kFirstPositions) * kFirstPositions *
         kFirstPadded;
}

// Adds one row of products to the row of the picture's gradient that its filter
// row `tap_row` comes from.
void AddProducts(const float* products, int64_t width, int64_t tap_row,
                 float* gradient) {
  for (int64_t x = 0; x < width; ++x) {
    const float* source = products + x * kFirstPadded + tap_row * 9;
    float* target = gradient + x * kColours;
    for (int i = 0; i < 9; ++i) target[i] += source[i];
  }
}

}  // namespace

size_t FirstScratchBytes(const FirstShape& shape, const Workers& workers) {
  const int64_t of_worker = ScratchFloats(shape) + 3 * ProductsFloats(shape);
  return (PackedFloats(shape) + workers.num_workers * of_worker) *
             sizeof(float) +
         (1 + 4 * workers.num_workers) * kMemoryAlignment;
}

void FirstConvolution(const FirstShape& shape, Element element,
                      const float* picture, const float* filter,
                      const float* bias, void* scratch, const Workers& workers,
                      void* output) {
  Arena arena(scratch);
  float* packed = arena.Take(PackedFloats(shape));
  Kernels().pack(filter, kFirstTaps, shape.channels, packed);
  std::vector<float*> of_worker;
  for (int i = 0; i < workers.num_workers; ++i) {
    of_worker.push_back(arena.Take(ScratchFloats(shape)));
    std::fill_n(of_worker.back(), ScratchFloats(shape), 0.0f);
  }
  const int64_t in_row = (shape.width + 2) * kColours;
  const int64_t out_row = shape.width * shape.channels * ElementBytes(element);
  const int64_t num_blocks = CeilDivide(shape.height, kTaskRows);
  RunTasks(workers, shape.batch * num_blocks, [&](int64_t index, int worker) {
    const int64_t image = index / num_blocks;
    const int64_t first = index % num_blocks * kTaskRows;
    for (int64_t y = first; y < std::min(first + kTaskRows, shape.height);
         ++y) {
      Kernels().convolve(
          element, picture + (image * (shape.height + 2) + y) * in_row, in_row,
          shape.width, shape.channels, packed, bias, of_worker[worker],
          static_cast<char*>(output) + (image * shape.height + y) * out_row);
    }
  });
}

void FirstGradient(const FirstShape& shape, Element element,
                   const void* upstream, const void* output,
                   const float* filter, void* scratch, const Workers& workers,
                   float* gradient) {
  Arena arena(scratch);
  std::vector<float> transposed(PackedFloats(shape));
  for (int64_t tap = 0; tap < kFirstTaps; ++tap) {
    for (int64_t channel = 0; channel < shape.channels; ++channel) {
      transposed[channel * kFirstPadded + tap] =
          filter[tap * shape.channels + channel];
    }
  }
  float* packed = arena.Take(PackedFloats(shape));
  Kernels().pack(transposed.data(), shape.channels, kFirstPadded, packed);
  struct Memory {
    float* scratch;
    float* products[3];  // of rows y with y % 3 = 0, 1 and 2
  };
  std::vector<Memory> of_worker(workers.num_workers);
  for (Memory& memory : of_worker) {
    memory.scratch = arena.Take(ScratchFloats(shape));
    std::fill_n(memory.scratch, ScratchFloats(shape), 0.0f);
    for (float*& row : memory.products) row = arena.Take(ProductsFloats(shape));
  }
  const int64_t in_row = (shape.width + 2) * kColours;
  const int64_t out_row = shape.width * shape.channels * ElementBytes(element);
  const int64_t in_height = shape.height + 2;
  const int64_t num_blocks = CeilDivide(in_height, kTaskRows);
  RunTasks(workers, shape.batch * num_blocks, [&](int64_t index, int worker) {
    const Memory& memory = of_worker[worker];
    const int64_t image = index / num_blocks;
    const int64_t first = index % num_blocks * kTaskRows;
    const int64_t end = std::min(first + kTaskRows, in_height);
    const auto multiply = [&](int64_t y) {
      const int64_t offset = (image * shape.height + y) * out_row;
      Kernels().multiply(element, static_cast<const char*>(upstream) + offset,
                         static_cast<const char*>(output) + offset, shape.width,
                         shape.channels, packed, memory.scratch,
                         memory.products[y % 3]);
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
        AddProducts(memory.products[source % 3], shape.width, tap_row, row);
      }
    }
  });
}

}  // namespace tf_style
