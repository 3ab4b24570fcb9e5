// The inner loops of the convolutions, compiled once for each instruction set.

#include "conv_relu_simd.h"

#include "simd.h"

namespace tf_style {
namespace {

static_assert(kConvChannels % kWidth == 0, "channels fill vectors");
static_assert(kGroupChannels % kWidth == 0, "groups have whole panels");
static_assert(kTileAlignment % kTileRows == 0, "tiles fill products");

// Bytes of a transformed input's element: bfloat16 is widened where the
// processor cannot multiply it directly.
template <typename Type>
constexpr int64_t kTransformedBytes = 4 / Type::kRowsPerWord;

template <typename Type>
inline void StoreTransformed(Vector value, char* target) {
  if (kTransformedBytes<Type> == 4) {
    memcpy(target, &value, sizeof(value));
  } else {
    Type::Store(value, kWidth, target);
  }
}

// The 32-bit words of one row of transformed inputs.
template <typename Type>
inline int64_t Depth(int64_t in_channels) {
  return in_channels / Type::kRowsPerWord;
}

// The 4 x 4 inputs of a tile, at their first channel; those beyond the border
// are zeros.
struct Window {
  const char* elements[4][4];
};

inline Window FindWindow(const ConvShape& shape, const void* picture,
                         const void* zeros, int64_t pixel_bytes, int64_t tile) {
  const int64_t tiles_across = CeilDivide(shape.width, 2);
  const int64_t top = tile / tiles_across * 2 - 1;
  const int64_t left = tile % tiles_across * 2 - 1;
  Window window;
  for (int64_t i = 0; i < 4; ++i) {
    for (int64_t j = 0; j < 4; ++j) {
      const int64_t y = top + i;
      const int64_t x = left + j;
      const bool is_inside =
          y >= 0 && y < shape.height && x >= 0 && x < shape.width;
      window.elements[i][j] = is_inside
                                  ? static_cast<const char*>(picture) +
                                        (y * shape.width + x) * pixel_bytes
                                  : static_cast<const char*>(zeros);
    }
  }
  return window;
}

// Writes B^T d B of all channels; the points are `point_bytes` apart.
template <typename Type, bool kMasked>
inline void TransformInput(const Window& input, const Window& mask,
                           int64_t channels, int64_t point_bytes,
                           char* target) {
  for (int64_t channel = 0; channel < channels; channel += kWidth) {
    Vector d[4][4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        const int64_t offset = channel * Type::kBytes;
        d[i][j] = LoadElements<Type>(input.elements[i][j] + offset);
        if (kMasked) {
          const Vector gate = LoadElements<Type>(mask.elements[i][j] + offset);
          d[i][j] = ReluGradient(d[i][j], gate);
        }
      }
    }
    Vector e[4][4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      e[0][j] = d[0][j] - d[2][j];
      e[1][j] = d[1][j] + d[2][j];
      e[2][j] = d[2][j] - d[1][j];
      e[3][j] = d[1][j] - d[3][j];
    }
    char* place = target + channel * kTransformedBytes<Type>;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      StoreTransformed<Type>(e[i][0] - e[i][2], place);
      StoreTransformed<Type>(e[i][1] + e[i][2], place + point_bytes);
      StoreTransformed<Type>(e[i][2] - e[i][1], place + 2 * point_bytes);
      StoreTransformed<Type>(e[i][1] - e[i][3], place + 3 * point_bytes);
      place += 4 * point_bytes;
    }
  }
}

// Multiplies all points of some tiles with some panels of the filter.
template <typename Type>
inline void MultiplyPoints(const ConvShape& shape, const float* packed,
                           int64_t panel, int64_t num_panels, int64_t num_tiles,
                           const ConvScratch& scratch) {
  const int64_t depth = Depth<Type>(shape.in_channels);
  const int64_t panel_floats = depth * kWidth;
  const int64_t point_floats = shape.out_channels / kWidth * panel_floats;
  for (int64_t point = 0; point < kPoints; ++point) {
    const float* right = packed + point * point_floats + panel * panel_floats;
    const float* left = scratch.inputs + point * num_tiles * depth;
    float* target = scratch.products + point * num_tiles * kGroupChannels;
    const char* ahead = reinterpret_cast<const char*>(right + point_floats);
    for (int64_t tile = 0; tile < num_tiles; tile += kTileRows) {
      MultiplyPanels<Type, kTileRows, 1>(
          num_panels, left + tile * depth, depth, right, panel_floats, depth,
          ahead, [=](int row, int tile_panel, Vector value) {
            memcpy(target + (tile + row) * kGroupChannels + tile_panel * kWidth,
                   &value, sizeof(value));
          });
      ahead += depth * kAheadStep;
    }
  }
}

// Writes A^T m A of one tile's vector of output channels, plus bias and through
// ReLU if there is a bias.
template <typename Type>
inline void TransformOutput(const float* products, int64_t point_floats,
                            const float* bias, int64_t rows, int64_t columns,
                            int64_t row_bytes, int64_t pixel_bytes,
                            char* target) {
  Vector s[4][2];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const float* row = products + 4 * i * point_floats;
    const Vector m0 = Load<Vector>(row);
    const Vector m1 = Load<Vector>(row + point_floats);
    const Vector m2 = Load<Vector>(row + 2 * point_floats);
    const Vector m3 = Load<Vector>(row + 3 * point_floats);
    s[i][0] = m0 + m1 + m2;
    s[i][1] = m1 - m2 - m3;
  }
#pragma GCC unroll 2
  for (int j = 0; j < 2; ++j) {
    Vector y[2] = {s[0][j] + s[1][j] + s[2][j], s[1][j] - s[2][j] - s[3][j]};
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      if (bias != nullptr) y[i] = Relu(y[i] + Load<Vector>(bias));
      if (i < rows && j < columns) {
        Type::Store(y[i], kWidth, target + i * row_bytes + j * pixel_bytes);
      }
    }
  }
}

template <typename Type>
void ConvolveTiles(const ConvShape& shape, const ConvInputs& inputs,
                   const TileRange& tiles, const ChannelRange& channels,
                   const ConvScratch& scratch, void* result) {
  char* output = static_cast<char*>(result);
  const int64_t in_bytes = shape.in_channels * Type::kBytes;
  const int64_t transformed_bytes = shape.in_channels * kTransformedBytes<Type>;
  const int64_t num_tiles =
      CeilDivide(tiles.count, kTileAlignment) * kTileAlignment;
  for (int64_t tile = 0; tile < tiles.count; ++tile) {
    const int64_t index = tiles.first + tile;
    char* target =
        reinterpret_cast<char*>(scratch.inputs) + tile * transformed_bytes;
    const int64_t point_bytes = num_tiles * transformed_bytes;
    const Window input =
        FindWindow(shape, inputs.input, scratch.zeros, in_bytes, index);
    if (inputs.mask == nullptr) {
      TransformInput<Type, false>(input, input, shape.in_channels, point_bytes,
                                  target);
    } else {
      const Window mask =
          FindWindow(shape, inputs.mask, scratch.zeros, in_bytes, index);
      TransformInput<Type, true>(input, mask, shape.in_channels, point_bytes,
                                 target);
    }
  }
  const int64_t tiles_across = CeilDivide(shape.width, 2);
  const int64_t out_bytes = shape.out_channels * Type::kBytes;
  const int64_t end = (channels.first + channels.count) / kWidth;
  for (int64_t panel = channels.first / kWidth, width; panel < end;
       panel += width) {
    width = TilePanels(end - panel);
    MultiplyPoints<Type>(shape, static_cast<const float*>(inputs.packed), panel,
                         width, num_tiles, scratch);
    for (int64_t tile = 0; tile < tiles.count; ++tile) {
      const int64_t y = (tiles.first + tile) / tiles_across * 2;
      const int64_t x = (tiles.first + tile) % tiles_across * 2;
      for (int64_t i = 0; i < width; ++i) {
        const int64_t channel = (panel + i) * kWidth;
        TransformOutput<Type>(
            scratch.products + tile * kGroupChannels + i * kWidth,
            num_tiles * kGroupChannels,
            inputs.bias == nullptr ? nullptr : inputs.bias + channel,
            shape.height - y, shape.width - x, shape.width * out_bytes,
            out_bytes,
            output + (y * shape.width + x) * out_bytes +
                channel * Type::kBytes);
      }
    }
  }
}

template <typename Type>
void PackPoint(const void* matrix, int64_t point, int64_t in_channels,
               int64_t out_channels, void* packed) {
  const int64_t depth = Depth<Type>(in_channels);
  PackPanels<Type>(matrix, in_channels, out_channels * Type::kBytes,
                   out_channels, depth,
                   static_cast<float*>(packed) + point * out_channels * depth);
}

template <typename Type>
constexpr ConvKernels kKernels = {PackPoint<Type>, ConvolveTiles<Type>};

}  // namespace

template <>
const ConvKernels& KernelsFor<ConvKernels, kInstructionSet>(Element element) {
  return element == Element::kFloat32 ? kKernels<Float32>
                                      : kKernels<Bfloat16Pairs>;
}

}  // namespace tf_style
