// Compiled once for each instruction set, with its flags and with
// TF_STYLE_KERNELS set to the function of gram_loss_simd.h to define.
//
// All else has internal linkage and uses nothing from the standard library's
// templates: the linker would keep one instance of those for the whole binary,
// perhaps one with instructions that the processor at hand lacks.

#include "gram_loss_simd.h"

#include <cstring>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace tf_style {
namespace {

#if defined(__AVX512F__)
#define TF_STYLE_VECTOR_BYTES 64
constexpr int kTileRows = 8;
#elif defined(__AVX2__)
#define TF_STYLE_VECTOR_BYTES 32
constexpr int kTileRows = 4;
#else
#define TF_STYLE_VECTOR_BYTES 16
constexpr int kTileRows = 4;
#endif

typedef float Vector __attribute__((vector_size(TF_STYLE_VECTOR_BYTES)));
typedef uint32_t Bits __attribute__((vector_size(TF_STYLE_VECTOR_BYTES)));
typedef uint16_t Halves __attribute__((vector_size(TF_STYLE_VECTOR_BYTES / 2)));

constexpr int kWidth = TF_STYLE_VECTOR_BYTES / 4;
constexpr int kTilePanels = 3;

// Bytes brought into the cache with each product: those of a tile's next rows,
// a line of 64 with every other product.
constexpr int kAheadStep = 32;

static_assert(kWidth % kTileRows == 0, "a tile's rows lie in one panel");
static_assert(kChannelAlignment % kWidth == 0, "sums have whole panels");

inline int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }

// Panels of the next tile, of as many as are left. Four go as two and two: one
// alone would load more than it multiplies.
inline int64_t TilePanels(int64_t panels) {
  return panels == 4 ? 2 : Min(panels, kTilePanels);
}

inline int64_t CeilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <typename T>
inline T Load(const void* source) {
  T value;
  memcpy(&value, source, sizeof(value));
  return value;
}

// Loads the first `count` elements and zeros after them.
template <typename T>
inline T LoadPart(const void* source, int64_t count) {
  T value = {};
  memcpy(&value, source, count * sizeof(value[0]));
  return value;
}

template <typename T>
inline T LoadColumns(const void* source, int64_t count) {
  return count >= kWidth ? Load<T>(source) : LoadPart<T>(source, count);
}

template <typename T>
inline void StoreColumns(const T& value, int64_t count, void* target) {
  if (count >= kWidth) {
    memcpy(target, &value, sizeof(value));
  } else {
    memcpy(target, &value, count * sizeof(value[0]));
  }
}

inline Bits Widen(Halves halves) {
  return __builtin_convertvector(halves, Bits);
}

inline Vector ToFloat(Halves halves) { return (Vector)(Widen(halves) << 16); }

inline Halves ToBfloat16(Vector value) {
  const Bits bits = (Bits)value;
  const Bits rounded = bits + 0x7fff + ((bits >> 16) & 1);
  const Bits quiet_nan = bits | 0x400000;
  const Bits is_number = (Bits)(value == value);
  return __builtin_convertvector(
      ((rounded & is_number) | (quiet_nan & ~is_number)) >> 16, Halves);
}

// How one type of features is packed and multiplied. kRowsPerWord rows of a
// matrix share one 32-bit word of a panel.
struct Float32 {
  static constexpr int kBytes = 4;
  static constexpr int kRowsPerWord = 1;

  static Vector Pack(const char* rows, int64_t, int64_t, int64_t columns) {
    return LoadColumns<Vector>(rows, columns);
  }
  static Vector MultiplyAdd(float left, Vector right, Vector sum) {
    return sum + left * right;
  }
  static void Store(Vector value, int64_t columns, char* target) {
    StoreColumns(value, columns, target);
  }
};

struct WidenedBfloat16 {
  static constexpr int kBytes = 2;
  static constexpr int kRowsPerWord = 1;

  static Vector Pack(const char* rows, int64_t, int64_t, int64_t columns) {
    return ToFloat(LoadColumns<Halves>(rows, columns));
  }
  static Vector MultiplyAdd(float left, Vector right, Vector sum) {
    return Float32::MultiplyAdd(left, right, sum);
  }
  static void Store(Vector value, int64_t columns, char* target) {
    StoreColumns(ToBfloat16(value), columns, target);
  }
};

#if defined(__AVX512BF16__)
struct Bfloat16Pairs {
  static constexpr int kBytes = 2;
  static constexpr int kRowsPerWord = 2;

  static Vector Pack(const char* rows, int64_t num_rows, int64_t row_bytes,
                     int64_t columns) {
    const Bits even = Widen(LoadColumns<Halves>(rows, columns));
    if (num_rows == 1) return (Vector)even;
    const Bits odd = Widen(LoadColumns<Halves>(rows + row_bytes, columns));
    return (Vector)(even | odd << 16);
  }
  static Vector MultiplyAdd(float left, Vector right, Vector sum) {
    return (Vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_ps(left),
                                    (__m512bh)right);
  }
  static void Store(Vector value, int64_t columns, char* target) {
    StoreColumns((Halves)_mm512_cvtneps_pbh((__m512)value), columns, target);
  }
};
#else
using Bfloat16Pairs = WidenedBfloat16;
#endif

// Calls store(row, panel, sums) for every vector of a tile of left * right. The
// left operand's rows are `row_stride` floats apart, the right one's panels
// `panel_stride`; from one product to the next they move kLeftStep and kWidth.
// On the way, memory from `ahead` on is brought into the cache.
template <typename Type, int kRows, int kPanels, int kLeftStep, typename Store>
inline void MultiplyTile(const float* left, int64_t row_stride,
                         const float* right, int64_t panel_stride,
                         int64_t depth, const char* ahead, const Store& store) {
  Vector sums[kRows][kPanels] = {};
  for (int64_t k = 0; k < depth; ++k) {
    __builtin_prefetch(ahead + k * kAheadStep);
    Vector columns[kPanels];
    for (int panel = 0; panel < kPanels; ++panel) {
      columns[panel] = Load<Vector>(right + panel * panel_stride + k * kWidth);
    }
#pragma GCC unroll 8
    for (int row = 0; row < kRows; ++row) {
      const float scalar = Load<float>(left + row * row_stride + k * kLeftStep);
#pragma GCC unroll 3
      for (int panel = 0; panel < kPanels; ++panel) {
        sums[row][panel] =
            Type::MultiplyAdd(scalar, columns[panel], sums[row][panel]);
      }
    }
  }
#pragma GCC unroll 8
  for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 3
    for (int panel = 0; panel < kPanels; ++panel) {
      store(row, panel, sums[row][panel]);
    }
  }
}

template <typename Type, int kRows, int kLeftStep, typename Store>
inline void MultiplyPanels(int64_t num_panels, const float* left,
                           int64_t row_stride, const float* right,
                           int64_t panel_stride, int64_t depth,
                           const char* ahead, const Store& store) {
  static_assert(kTilePanels == 3, "one case for each number of panels");
  switch (num_panels) {
    case 1:
      return MultiplyTile<Type, kRows, 1, kLeftStep>(
          left, row_stride, right, panel_stride, depth, ahead, store);
    case 2:
      return MultiplyTile<Type, kRows, 2, kLeftStep>(
          left, row_stride, right, panel_stride, depth, ahead, store);
    default:
      return MultiplyTile<Type, kRows, 3, kLeftStep>(
          left, row_stride, right, panel_stride, depth, ahead, store);
  }
}

// Packs `num_columns` columns of rows [num_rows, ...] into panels of `depth`
// rows of words. `rows` points to the first of these columns.
template <typename Type>
void PackPanels(const char* rows, int64_t num_rows, int64_t row_bytes,
                int64_t num_columns, int64_t depth, float* panels) {
  for (int64_t row = 0; row < num_rows; row += Type::kRowsPerWord) {
    float* target = panels + row / Type::kRowsPerWord * kWidth;
    for (int64_t column = 0; column < num_columns; column += kWidth) {
      const Vector words =
          Type::Pack(rows + column * Type::kBytes, num_rows - row, row_bytes,
                     num_columns - column);
      memcpy(target, &words, sizeof(words));
      target += depth * kWidth;
    }
    rows += Type::kRowsPerWord * row_bytes;
  }
}

template <typename Type>
void SumGram(const char* features, int64_t positions, int64_t channels,
             GramBlock block, float* pack, float* sums) {
  const int64_t row_bytes = channels * Type::kBytes;
  const int64_t padded =
      CeilDivide(channels, kChannelAlignment) * kChannelAlignment;
  const int64_t num_rows = Min(kBlockChannels, channels - block.row);
  const int64_t num_columns = Min(kBlockChannels, channels - block.column);
  const int64_t num_panels = CeilDivide(num_columns, kWidth);
  const bool on_diagonal = block.row == block.column;
  const float* left = on_diagonal ? pack : pack + kPackFloats / 2;
  constexpr int64_t kPassPositions = kPackedRows * Type::kRowsPerWord;
  for (int64_t start = 0; start < positions; start += kPassPositions) {
    const char* rows = features + start * row_bytes;
    const int64_t depth = Min(kPassPositions, positions - start);
    PackPanels<Type>(rows + block.column * Type::kBytes, depth, row_bytes,
                     num_columns, kPackedRows, pack);
    if (!on_diagonal) {
      PackPanels<Type>(rows + block.row * Type::kBytes, depth, row_bytes,
                       num_rows, kPackedRows, pack + kPackFloats / 2);
    }
    const char* ahead = rows + kPassPositions * row_bytes;
    const char* const ahead_end = ahead + kPassPositions * row_bytes;
    for (int64_t panel = 0, width; panel < num_panels; panel += width) {
      width = TilePanels(num_panels - panel);
      const int64_t first_row = on_diagonal ? panel * kWidth : 0;
      for (int64_t row = first_row; row < num_rows; row += kTileRows) {
        const int64_t last_panel =
            on_diagonal ? (row + kTileRows - 1) / kWidth : num_panels - 1;
        float* target =
            sums + (block.row + row) * padded + block.column + panel * kWidth;
        MultiplyPanels<Type, kTileRows, kWidth>(
            Min(width, last_panel - panel + 1),
            left + row / kWidth * kWidth * kPackedRows + row % kWidth, 1,
            pack + panel * kWidth * kPackedRows, kWidth * kPackedRows,
            CeilDivide(depth, Type::kRowsPerWord), ahead,
            [=](int tile_row, int tile_panel, Vector value) {
              float* sum = target + tile_row * padded + tile_panel * kWidth;
              if (start > 0) value += Load<Vector>(sum);
              memcpy(sum, &value, sizeof(value));
            });
        if (ahead < ahead_end) ahead += kPackedRows * kAheadStep;
      }
    }
  }
}

template <typename Type, int kRows>
inline void MultiplyRows(const float* rows, int64_t row_stride, int64_t panel,
                         int64_t num_panels, int64_t channels,
                         const float* matrix, char* product) {
  const int64_t depth = CeilDivide(channels, Type::kRowsPerWord);
  const int64_t columns = channels - panel * kWidth;
  for (int row = 0; row < kRows; ++row) {
    for (int64_t i = panel; i < panel + num_panels; ++i) {
      const int64_t offset = row * channels + i * kWidth;
      __builtin_prefetch(product + offset * Type::kBytes, /*rw=*/1);
    }
  }
  MultiplyPanels<Type, kRows, 1>(
      num_panels, rows, row_stride, matrix + panel * depth * kWidth,
      depth * kWidth, depth,
      reinterpret_cast<const char*>(rows + kRows * row_stride),
      [=](int row, int tile_panel, Vector value) {
        const int64_t skipped = tile_panel * kWidth;
        Type::Store(value, columns - skipped,
                    product + (row * channels + panel * kWidth + skipped) *
                                  Type::kBytes);
      });
}

// `rows` are the features as the words that Type multiplies.
template <typename Type>
void Multiply(const float* rows, int64_t row_stride, int64_t positions,
              int64_t channels, const float* matrix, char* product) {
  const int64_t row_bytes = channels * Type::kBytes;
  const int64_t num_panels = CeilDivide(channels, kWidth);
  for (int64_t panel = 0, width; panel < num_panels; panel += width) {
    width = TilePanels(num_panels - panel);
    int64_t row = 0;
    for (; row + kTileRows <= positions; row += kTileRows) {
      MultiplyRows<Type, kTileRows>(rows + row * row_stride, row_stride, panel,
                                    width, channels, matrix,
                                    product + row * row_bytes);
    }
    for (; row < positions; ++row) {
      MultiplyRows<Type, 1>(rows + row * row_stride, row_stride, panel, width,
                            channels, matrix, product + row * row_bytes);
    }
  }
}

void WidenRows(const char* features, int64_t positions, int64_t channels,
               float* rows) {
  for (int64_t i = 0; i < positions * channels; i += kWidth) {
    const int64_t count = positions * channels - i;
    const Vector words = WidenedBfloat16::Pack(features + i * 2, 1, 0, count);
    StoreColumns(words, count, rows + i);
  }
}

// An odd number of channels leaves the last one without a partner: a zero.
void PairRows(const char* features, int64_t positions, int64_t channels,
              float* rows) {
  const int64_t row_words = CeilDivide(channels, 2);
  for (int64_t row = 0; row < positions; ++row) {
    rows[(row + 1) * row_words - 1] = 0;
    memcpy(rows + row * row_words, features + row * channels * 2, channels * 2);
  }
}

void SumGramOf(Element element, const void* features, int64_t positions,
               int64_t channels, GramBlock block, float* pack, float* sums) {
  const char* rows = static_cast<const char*>(features);
  if (element == Element::kFloat32) {
    SumGram<Float32>(rows, positions, channels, block, pack, sums);
  } else {
    SumGram<Bfloat16Pairs>(rows, positions, channels, block, pack, sums);
  }
}

template <typename Type>
void PackMatrix(const char* matrix, int64_t channels, int64_t column,
                float* panels) {
  const int64_t depth = CeilDivide(channels, Type::kRowsPerWord);
  PackPanels<Type>(matrix + column * Type::kBytes, channels,
                   channels * Type::kBytes,
                   Min(kChannelAlignment, channels - column), depth,
                   panels + column * depth);
}

void PackMatrixOf(Element element, const void* matrix, int64_t channels,
                  int64_t column, float* panels) {
  const char* rows = static_cast<const char*>(matrix);
  if (element == Element::kFloat32) {
    PackMatrix<Float32>(rows, channels, column, panels);
  } else {
    PackMatrix<Bfloat16Pairs>(rows, channels, column, panels);
  }
}

void MultiplyOf(Element element, const void* features, int64_t positions,
                int64_t channels, const float* panels, float* pack,
                void* product) {
  const float* rows = static_cast<const float*>(features);
  const char* source = static_cast<const char*>(features);
  char* target = static_cast<char*>(product);
  if (element == Element::kFloat32) {
    Multiply<Float32>(rows, channels, positions, channels, panels, target);
    return;
  }
  if (Bfloat16Pairs::kRowsPerWord == 1) {
    WidenRows(source, positions, channels, pack);
    rows = pack;
  } else if (channels % 2 != 0) {
    PairRows(source, positions, channels, pack);
    rows = pack;
  }
  Multiply<Bfloat16Pairs>(rows,
                          CeilDivide(channels, Bfloat16Pairs::kRowsPerWord),
                          positions, channels, panels, target);
}

}  // namespace

const SimdKernels& TF_STYLE_KERNELS() {
  static const SimdKernels kernels = {TF_STYLE_ISA, SumGramOf, PackMatrixOf,
                                      MultiplyOf};
  return kernels;
}

}  // namespace tf_style
