// Vectors and products of small matrices, for the X_simd.cc files. These are
// compiled once for each instruction set, with its compiler flags and with
// TF_STYLE_ISA set to its name in `enum class InstructionSet`.
//
// Everything has internal linkage and nothing uses the standard library's
// templates: the linker would keep one instance of those for the whole binary,
// perhaps one with instructions that the processor at hand lacks.

#ifndef TF_STYLE_KERNELS_SIMD_H_
#define TF_STYLE_KERNELS_SIMD_H_

#include <cstdint>
#include <cstring>

#include "common.h"
#include "instruction_set.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace tf_style {
namespace {

constexpr InstructionSet kInstructionSet = InstructionSet::TF_STYLE_ISA;

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

// Bytes prefetched with each product, of a tile's next rows: a cache line of 64
// with every other product.
constexpr int kAheadStep = 32;

static_assert(kWidth % kTileRows == 0, "a tile's rows lie in one panel");

inline int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }

// Panels of the next tile, out of those that are left. Four are split as two
// and two: a tile of one panel would load more than it multiplies.
inline int64_t TilePanels(int64_t panels) {
  return panels == 4 ? 2 : Min(panels, kTilePanels);
}

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

inline Bits WidenHalves(Halves halves) {
  // Compilers make more than one instruction of __builtin_convertvector.
#if defined(__AVX512F__)
  return (Bits)_mm512_cvtepu16_epi32((__m256i)halves);
#elif defined(__AVX2__)
  return (Bits)_mm256_cvtepu16_epi32((__m128i)halves);
#else
  return __builtin_convertvector(halves, Bits);
#endif
}

inline Vector ToFloat(Halves halves) {
  return (Vector)(WidenHalves(halves) << 16);
}

inline Halves ToBfloat16(Vector value) {
  const Bits bits = (Bits)value;
  const Bits rounded = bits + 0x7fff + ((bits >> 16) & 1);
  const Bits quiet_nan = bits | 0x400000;
  const Bits is_number = (Bits)(value == value);
  return __builtin_convertvector(
      ((rounded & is_number) | (quiet_nan & ~is_number)) >> 16, Halves);
}

// max(value, 0), where NaN stays NaN.
inline Vector Relu(Vector value) {
  return (Vector)((Bits)value & ~(Bits)(value < 0));
}

// The gradient with respect to ReLU's input, given its output.
inline Vector ReluGradient(Vector upstream, Vector output) {
  return (Vector)((Bits)upstream & (Bits)(output > 0));
}

// How one element type is packed and multiplied. kRowsPerWord rows of a matrix
// share one 32-bit word of a panel.
struct Float32 {
  static constexpr int kBytes = 4;
  static constexpr int kRowsPerWord = 1;

  static Vector Pack(const char* rows, int64_t, int64_t, int64_t columns) {
    return LoadColumns<Vector>(rows, columns);
  }
  static Vector Subtract(Vector words, Vector shift, int64_t) {
    return words - shift;
  }
  static Vector MultiplyAdd(float left, Vector right, Vector sum) {
    return sum + left * right;
  }
  static void Store(Vector value, int64_t columns, char* target) {
    StoreColumns(value, columns, target);
  }
};

struct WidenedBfloat16 : Float32 {
  static constexpr int kBytes = 2;

  static Vector Pack(const char* rows, int64_t, int64_t, int64_t columns) {
    return ToFloat(LoadColumns<Halves>(rows, columns));
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
    const Bits even = WidenHalves(LoadColumns<Halves>(rows, columns));
    if (num_rows == 1) return (Vector)even;
    const Bits odd =
        WidenHalves(LoadColumns<Halves>(rows + row_bytes, columns));
    return (Vector)(even | odd << 16);
  }
  static Vector Subtract(Vector words, Vector shift, int64_t num_rows) {
    const Vector even = (Vector)((Bits)words << 16) - shift;
    const Bits low = WidenHalves((Halves)_mm512_cvtneps_pbh((__m512)even));
    if (num_rows == 1) return (Vector)low;
    const Vector odd = (Vector)((Bits)words & 0xffff0000) - shift;
    const Bits high = WidenHalves((Halves)_mm512_cvtneps_pbh((__m512)odd));
    return (Vector)(low | high << 16);
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

// Loads a vector of elements as floats.
template <typename Type>
inline Vector LoadElements(const char* source) {
  if (Type::kBytes == 4) return Load<Vector>(source);
  return ToFloat(Load<Halves>(source));
}

// Calls store(row, panel, sums) for every vector of a tile of left * right. The
// left operand's rows are `row_stride` floats apart, the right one's panels
// `panel_stride`; from one product to the next they move kLeftStep and kWidth.
// On the way, memory from `ahead` on is prefetched.
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
// rows of words. `matrix` points to the first of these columns.
template <typename Type>
void PackPanels(const void* matrix, int64_t num_rows, int64_t row_bytes,
                int64_t num_columns, int64_t depth, float* panels) {
  const char* rows = static_cast<const char*>(matrix);
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

}  // namespace
}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_SIMD_H_
