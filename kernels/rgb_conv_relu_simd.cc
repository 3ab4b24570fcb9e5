// Compiled once for each instruction set, with its flags and with TF_STYLE_ISA
// set to the first word of the functions that it defines.

#include "rgb_conv_relu_simd.h"

#include "simd.h"

namespace tf_style {
namespace {

static_assert(kFirstPadded % kWidth == 0 && kFirstPadded >= kFirstTaps);
static_assert(kFirstPositions % kTileRows == 0);

void Pack(const float* matrix, int64_t rows, int64_t columns, float* packed) {
  PackPanels<Float32>(reinterpret_cast<const char*>(matrix), rows,
                      columns * sizeof(float), columns, rows, packed);
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
                 float* scratch, char* output) {
  for (int64_t start = 0; start < width; start += kFirstPositions) {
    const int64_t count = Min(kFirstPositions, width - start);
    for (int64_t position = 0; position < count; ++position) {
      for (int64_t row = 0; row < 3; ++row) {
        memcpy(scratch + position * kFirstTaps + row * 9,
               pixels + row * row_floats + (start + position) * kColours,
               9 * sizeof(float));
      }
    }
    MultiplyAll(scratch, CeilDivide(count, kTileRows) * kTileRows, kFirstTaps,
                packed, channels,
                [=](int64_t row, int64_t column, Vector sums) {
                  if (row >= count) return;
                  sums += Load<Vector>(bias + column);
                  // What is no number stays none.
                  sums = (Vector)((Bits)sums & ~(Bits)(sums < 0));
                  Type::Store(sums, kWidth,
                              output + ((start + row) * channels + column) *
                                           Type::kBytes);
                });
  }
}

template <typename Type>
inline Vector LoadElements(const char* source) {
  if (Type::kBytes == 4) return Load<Vector>(source);
  return ToFloat(Load<Halves>(source));
}

template <typename Type>
void MultiplyRow(const char* upstream, const char* output, int64_t width,
                 int64_t channels, const float* packed, float* scratch,
                 float* products) {
  for (int64_t start = 0; start < width; start += kFirstPositions) {
    const int64_t count = Min(kFirstPositions, width - start) * channels;
    const int64_t offset = start * channels;
    for (int64_t i = 0; i < count; i += kWidth) {
      const int64_t place = (offset + i) * Type::kBytes;
      const Vector gate = LoadElements<Type>(output + place);
      const Vector value = LoadElements<Type>(upstream + place);
      const Vector gated = (Vector)((Bits)value & (Bits)(gate > 0));
      memcpy(scratch + i, &gated, sizeof(gated));
    }
    float* target = products + start * kFirstPadded;
    MultiplyAll(scratch, kFirstPositions, channels, packed, kFirstPadded,
                [=](int64_t row, int64_t column, Vector sums) {
                  memcpy(target + row * kFirstPadded + column, &sums,
                         sizeof(sums));
                });
  }
}

void ConvolveRowOf(Element element, const float* pixels, int64_t row_floats,
                   int64_t width, int64_t channels, const float* packed,
                   const float* bias, float* scratch, void* output) {
  char* target = static_cast<char*>(output);
  if (element == Element::kFloat32) {
    ConvolveRow<Float32>(pixels, row_floats, width, channels, packed, bias,
                         scratch, target);
  } else {
    ConvolveRow<Bfloat16Pairs>(pixels, row_floats, width, channels, packed,
                               bias, scratch, target);
  }
}

void MultiplyRowOf(Element element, const void* upstream, const void* output,
                   int64_t width, int64_t channels, const float* packed,
                   float* scratch, float* products) {
  const char* values = static_cast<const char*>(upstream);
  const char* gates = static_cast<const char*>(output);
  if (element == Element::kFloat32) {
    MultiplyRow<Float32>(values, gates, width, channels, packed, scratch,
                         products);
  } else {
    MultiplyRow<Bfloat16Pairs>(values, gates, width, channels, packed, scratch,
                               products);
  }
}

}  // namespace

const FirstKernels& TF_STYLE_FUNCTION(FirstKernels)() {
  static const FirstKernels kernels = {Pack, ConvolveRowOf, MultiplyRowOf};
  return kernels;
}

}  // namespace tf_style
