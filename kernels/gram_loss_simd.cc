// The inner loops of the Gram op, compiled once for each instruction set.

#include "gram_loss_simd.h"

#include <cstring>
#include <type_traits>

#include "simd.h"

namespace tf_style {
namespace {

static_assert(kChannelAlignment % kWidth == 0, "sums have whole panels");

// Packs a pass's operand, less the shift if there is one.
template <typename Type>
void PackPass(const char* rows, int64_t num_rows, int64_t row_bytes,
              int64_t column, int64_t num_columns, const float* shift,
              float* panels) {
  PackPanels<Type>(rows + column * Type::kBytes, num_rows, row_bytes,
                   num_columns, kPackedRows, panels);
  if (shift == nullptr) return;
  for (int64_t first = 0; first < num_columns; first += kWidth) {
    const Vector part =
        LoadColumns<Vector>(shift + column + first, num_columns - first);
    float* words = panels + first * kPackedRows;
    for (int64_t row = 0; row < num_rows; row += Type::kRowsPerWord) {
      const Vector shifted =
          Type::Subtract(Load<Vector>(words), part, num_rows - row);
      memcpy(words, &shifted, sizeof(shifted));
      words += kWidth;
    }
  }
}

template <typename Type>
void SumColumns(const void* features, int64_t positions, int64_t channels,
                float* sums) {
  using Wide = std::conditional_t<Type::kBytes == 4, Float32, WidenedBfloat16>;
  const char* row = static_cast<const char*>(features);
  for (int64_t position = 0; position < positions; ++position) {
    for (int64_t column = 0; column < channels; column += kWidth) {
      Vector sum =
          Wide::Pack(row + column * Type::kBytes, 1, 0, channels - column);
      if (position > 0) sum += Load<Vector>(sums + column);
      memcpy(sums + column, &sum, sizeof(sum));
    }
    row += channels * Type::kBytes;
  }
}

template <typename Type>
void SumGram(const void* features, int64_t positions, int64_t channels,
             const float* shift, GramBlock block, float* pack, float* sums) {
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
    const char* rows = static_cast<const char*>(features) + start * row_bytes;
    const int64_t depth = Min(kPassPositions, positions - start);
    PackPass<Type>(rows, depth, row_bytes, block.column, num_columns, shift,
                   pack);
    if (!on_diagonal) {
      PackPass<Type>(rows, depth, row_bytes, block.row, num_rows, shift,
                     pack + kPackFloats / 2);
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
                         const float* matrix, const float* addend,
                         char* product) {
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
        if (addend != nullptr) {
          value += LoadColumns<Vector>(addend + panel * kWidth + skipped,
                                       columns - skipped);
        }
        Type::Store(value, columns - skipped,
                    product + (row * channels + panel * kWidth + skipped) *
                                  Type::kBytes);
      });
}

// `rows` are the features as the words that Type multiplies.
template <typename Type>
void MultiplyAllRows(const float* rows, int64_t row_stride, int64_t positions,
                     int64_t channels, const float* matrix, const float* addend,
                     char* product) {
  const int64_t row_bytes = channels * Type::kBytes;
  const int64_t num_panels = CeilDivide(channels, kWidth);
  for (int64_t panel = 0, width; panel < num_panels; panel += width) {
    width = TilePanels(num_panels - panel);
    int64_t row = 0;
    for (; row + kTileRows <= positions; row += kTileRows) {
      MultiplyRows<Type, kTileRows>(rows + row * row_stride, row_stride, panel,
                                    width, channels, matrix, addend,
                                    product + row * row_bytes);
    }
    for (; row < positions; ++row) {
      MultiplyRows<Type, 1>(rows + row * row_stride, row_stride, panel, width,
                            channels, matrix, addend,
                            product + row * row_bytes);
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

template <typename Type>
void PackMatrix(const void* matrix, int64_t channels, int64_t column,
                float* panels) {
  const int64_t depth = CeilDivide(channels, Type::kRowsPerWord);
  PackPanels<Type>(static_cast<const char*>(matrix) + column * Type::kBytes,
                   channels, channels * Type::kBytes,
                   Min(kChannelAlignment, channels - column), depth,
                   panels + column * depth);
}

template <typename Type>
void Multiply(const void* features, int64_t positions, int64_t channels,
              const float* panels, const float* row, float* pack,
              void* product) {
  const float* rows = static_cast<const float*>(features);
  const char* source = static_cast<const char*>(features);
  if (Type::kBytes == 2 && Type::kRowsPerWord == 1) {
    WidenRows(source, positions, channels, pack);
    rows = pack;
  } else if (Type::kBytes == 2 && channels % 2 != 0) {
    PairRows(source, positions, channels, pack);
    rows = pack;
  }
  MultiplyAllRows<Type>(rows, CeilDivide(channels, Type::kRowsPerWord),
                        positions, channels, panels, row,
                        static_cast<char*>(product));
}

template <typename Type>
constexpr GramKernels kKernels = {SumGram<Type>, SumColumns<Type>,
                                  PackMatrix<Type>, Multiply<Type>};

}  // namespace

template <>
const GramKernels& KernelsFor<GramKernels, kInstructionSet>(Element element) {
  return element == Element::kFloat32 ? kKernels<Float32>
                                      : kKernels<Bfloat16Pairs>;
}

}  // namespace tf_style
