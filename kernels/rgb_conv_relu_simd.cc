// The inner loops of the first convolution, compiled once for each instruction
// set.

#include "rgb_conv_relu_simd.h"

#include "simd.h"

namespace tf_style {
namespace {

static_assert(kRgbPadded % kWidth == 0 && kRgbPadded >= kRgbTaps);
static_assert(kRgbPositions % kTileRows == 0);

void Pack(const float* matrix, int64_t rows, int64_t columns, float* packed) {
  PackPanels<Float32>(matrix, rows, columns * sizeof(float), columns, rows,
                      packed);
}

// Calls store(row, column, sums) for every vector of left [rows, depth] times
// the packed matrix [depth, columns].
template <typename Store>
inline void MultiplyAll(const float* left, int64_t rows, int64_t depth,
                        const float* packed, int64_t columns,
                        const Store& store) {
  const int64_t num_panels = columns / kWidth;
  for (int64_t panel = 0, width; panel < num_panels; panel += width) {
    width = TilePanels(num_panels - panel);
    const float* right = packed + panel * depth * kWidth;
    for (int64_t row = 0; row < rows; row += kTileRows) {
      MultiplyPanels<Float32, kTileRows, 1>(
          width, left + row * depth, depth, right, depth * kWidth, depth,
          reinterpret_cast<const char*>(right),
          [=](int tile_row, int tile_panel, Vector sums) {
            store(row + tile_row, (panel + tile_panel) * kWidth, sums);
          });
    }
  }
}

template <typename Type>
void ConvolveRow(const float* pixels, int64_t row_floats, int64_t width,
                 int64_t channels, const float* packed, const float* bias,
                 float* scratch, void* result) {
  char* output = static_cast<char*>(result);
  for (int64_t start = 0; start < width; start += kRgbPositions) {
    const int64_t count = Min(kRgbPositions, width - start);
    for (int64_t position = 0; position < count; ++position) {
      for (int64_t row = 0; row < 3; ++row) {
        memcpy(scratch + position * kRgbTaps + row * 9,
               pixels + row * row_floats + (start + position) * kColours,
               9 * sizeof(float));
      }
    }
    MultiplyAll(scratch, CeilDivide(count, kTileRows) * kTileRows, kRgbTaps,
                packed, channels,
                [=](int64_t row, int64_t column, Vector sums) {
                  if (row >= count) return;
                  sums = Relu(sums + Load<Vector>(bias + column));
                  Type::Store(sums, kWidth,
                              output + ((start + row) * channels + column) *
                                           Type::kBytes);
                });
  }
}

template <typename Type>
void MultiplyRow(const void* upstream, const void* output, int64_t width,
                 int64_t channels, const float* packed, float* scratch,
                 float* products) {
  const char* values = static_cast<const char*>(upstream);
  const char* gates = static_cast<const char*>(output);
  for (int64_t start = 0; start < width; start += kRgbPositions) {
    const int64_t count = Min(kRgbPositions, width - start) * channels;
    const int64_t offset = start * channels;
    for (int64_t i = 0; i < count; i += kWidth) {
      const int64_t place = (offset + i) * Type::kBytes;
      const Vector gated = ReluGradient(LoadElements<Type>(values + place),
                                        LoadElements<Type>(gates + place));
      memcpy(scratch + i, &gated, sizeof(gated));
    }
    float* target = products + start * kRgbPadded;
    MultiplyAll(scratch, kRgbPositions, channels, packed, kRgbPadded,
                [=](int64_t row, int64_t column, Vector sums) {
                  memcpy(target + row * kRgbPadded + column, &sums,
                         sizeof(sums));
                });
  }
}

template <typename Type>
constexpr RgbKernels kKernels = {Pack, ConvolveRow<Type>, MultiplyRow<Type>};

}  // namespace

template <>
const RgbKernels& KernelsFor<RgbKernels, kInstructionSet>(Element element) {
  return element == Element::kFloat32 ? kKernels<Float32>
                                      : kKernels<Bfloat16Pairs>;
}

}  // namespace tf_style
