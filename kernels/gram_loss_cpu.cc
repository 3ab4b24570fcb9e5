// Cuts the work into tasks, and does what needs no vector instructions: sums of
// partial Gram matrices, the difference from the target, the loss.

#include <algorithm>

#include "gram_loss.h"
#include "gram_loss_simd.h"
#include "instruction_set.h"

namespace tf_style {
namespace {

// A slab's positions are a multiple of this; its sums start from zero.
constexpr int64_t kMinSlabPositions = 512;

// Slabs, at most: enough for the threads of a large machine, and for sums over
// millions of positions to stay accurate.
constexpr int64_t kMaxSlabs = 128;

// Floats of partial sums, at most, where that leaves more than one slab.
constexpr int64_t kMaxPartialFloats = 2 << 20;

constexpr int64_t kTile = kChannelAlignment;

// How a picture's work is cut. It depends on the shape alone, so that the
// result does not depend on the machine's number of processors.
struct Plan {
  explicit Plan(const Features& features)
      : padded(CeilDivide(features.channels, kTile) * kTile),
        num_blocks(CeilDivide(features.channels, kBlockChannels)) {
    const int64_t most = std::clamp(kMaxPartialFloats / (padded * padded),
                                    int64_t{1}, kMaxSlabs);
    slab_positions = kMinSlabPositions *
                     CeilDivide(features.positions, most * kMinSlabPositions);
    num_slabs = CeilDivide(features.positions, slab_positions);
    pack_floats = std::max(kPackFloats, padded);
    gradient_positions = std::max(int64_t{1}, pack_floats / padded / 8 * 8);
  }

  int64_t padded;
  int64_t num_blocks;
  int64_t slab_positions;
  int64_t num_slabs;
  int64_t pack_floats;  // of one worker
  int64_t gradient_positions;
};

class Picture {
 public:
  Picture(const Features& features, void* scratch, const Workers& workers)
      : features_(features),
        kernels_(CurrentKernels<GramKernels>(features.element)),
        workers_(workers),
        plan_(features) {
    Arena arena(scratch);
    losses_ = arena.Take<double>(NumTiles());
    partial_ = arena.Take(plan_.num_slabs * plan_.padded * plan_.padded);
    matrix_ = arena.Take(plan_.padded * plan_.padded);
    panels_ = arena.Take(plan_.padded * plan_.padded);
    packs_ = arena.Take(plan_.pack_floats * workers.num_workers);
  }

  // Sums every slab's Gram matrix apart, below and on the diagonal.
  void SumSlabs(const float* shift = nullptr) {
    const int64_t num_pairs = plan_.num_blocks * (plan_.num_blocks + 1) / 2;
    RunTasks(
        workers_, plan_.num_slabs * num_pairs, [&](int64_t index, int worker) {
          const int64_t slab = index / num_pairs;
          int64_t pair = index % num_pairs;
          int64_t row = 0;
          while (pair > row) pair -= ++row;
          const GramBlock block = {row * kBlockChannels, pair * kBlockChannels};
          const int64_t start = slab * plan_.slab_positions;
          float* sums = partial_ + slab * plan_.padded * plan_.padded;
          kernels_.sum_gram(
              Rows(start),
              std::min(plan_.slab_positions, features_.positions - start),
              features_.channels, shift, block, Pack(worker), sums);
        });
  }

  // Before SumSlabs, whose sums take the place of those of this.
  void WriteMean(float* mean) {
    const int64_t step = plan_.padded * plan_.padded;
    RunTasks(workers_, plan_.num_slabs, [&](int64_t slab, int) {
      const int64_t start = slab * plan_.slab_positions;
      kernels_.sum_columns(
          Rows(start),
          std::min(plan_.slab_positions, features_.positions - start),
          features_.channels, partial_ + slab * step);
    });
    for (int64_t channel = 0; channel < features_.channels; ++channel) {
      double sum = 0;
      for (int64_t slab = 0; slab < plan_.num_slabs; ++slab) {
        sum += partial_[slab * step + channel];
      }
      mean[channel] = static_cast<float>(sum / features_.positions);
    }
  }

  void WriteGram(float* gram) {
    const int64_t channels = features_.channels;
    ForEachTile([&](const Tile& tile) {
      for (int64_t i = tile.row; i < tile.row_end; ++i) {
        for (int64_t j = tile.column; j < tile.ColumnEnd(i); ++j) {
          gram[i * channels + j] = gram[j * channels + i] = tile.At(i, j);
        }
      }
    });
  }

  // Returns the loss and leaves d loss / d G + (d loss / d G)^T in panels.
  float WriteDerivative(const float* target, float scale) {
    if (features_.element == Element::kFloat32) {
      WriteDerivative(target, scale, matrix_);
    } else {
      WriteDerivative(target, scale, reinterpret_cast<Bfloat16*>(matrix_));
    }
    PackMatrix(matrix_);
    double loss = 0;
    for (int64_t tile = 0; tile < NumTiles(); ++tile) loss += losses_[tile];
    return static_cast<float>(scale * loss);
  }

  // For WriteGradient.
  void PackMatrix(const void* matrix) {
    RunTasks(workers_, NumTiles(), [&](int64_t index, int) {
      kernels_.pack_matrix(matrix, features_.channels, index * kTile, panels_);
    });
  }

  void WriteGradient(const float* row, void* gradient) {
    const int64_t size = plan_.gradient_positions;
    RunTasks(workers_, CeilDivide(features_.positions, size),
             [&](int64_t index, int worker) {
               const int64_t start = index * size;
               kernels_.multiply(
                   Rows(start), std::min(size, features_.positions - start),
                   features_.channels, panels_, row, Pack(worker),
                   static_cast<char*>(gradient) + start * features_.RowBytes());
             });
  }

 private:
  // The part of the Gram matrix on or below the diagonal, from (row, column).
  struct Tile {
    float At(int64_t i, int64_t j) const {
      return sums[(i - row) * kTile + j - column];
    }
    int64_t ColumnEnd(int64_t i) const {
      return std::min(column + kTile, i + 1);
    }

    int64_t row;
    int64_t row_end;
    int64_t column;
    float sums[kTile * kTile];
  };

  int64_t NumTiles() const { return plan_.padded / kTile; }

  const char* Rows(int64_t start) const {
    return static_cast<const char*>(features_.data) +
           start * features_.RowBytes();
  }

  float* Pack(int worker) { return packs_ + worker * plan_.pack_floats; }

  // Calls visit(tile) with the slabs' sums added in their order. A row of tiles
  // is one task.
  template <typename Visit>
  void ForEachTile(const Visit& visit) {
    RunTasks(workers_, NumTiles(), [&](int64_t index, int) {
      const int64_t row = index * kTile;
      const int64_t row_end = std::min(row + kTile, features_.channels);
      for (int64_t column = 0; column <= row; column += kTile) {
        Tile tile = {row, row_end, column, {}};
        for (int64_t slab = 0; slab < plan_.num_slabs; ++slab) {
          const float* source =
              partial_ + (slab * plan_.padded + row) * plan_.padded + column;
          for (int64_t i = 0; i < kTile; ++i) {
            for (int64_t j = 0; j < kTile; ++j) {
              tile.sums[i * kTile + j] += source[i * plan_.padded + j];
            }
          }
        }
        visit(tile);
      }
    });
  }

  template <typename T>
  void WriteDerivative(const float* target, float scale, T* matrix) {
    const int64_t channels = features_.channels;
    std::fill_n(losses_, NumTiles(), 0.0);
    ForEachTile([&](const Tile& tile) {
      double loss_below = 0;
      double loss_above = 0;
      for (int64_t i = tile.row; i < tile.row_end; ++i) {
        for (int64_t j = tile.column; j < tile.ColumnEnd(i); ++j) {
          const float below = tile.At(i, j) - target[i * channels + j];
          const float above = tile.At(i, j) - target[j * channels + i];
          loss_below += static_cast<double>(below) * below;
          if (i != j) loss_above += static_cast<double>(above) * above;
          matrix[i * channels + j] = matrix[j * channels + i] =
              static_cast<T>(2 * scale * (below + above));
        }
      }
      losses_[tile.row / kTile] += loss_below + loss_above;
    });
  }

  const Features features_;
  const GramKernels& kernels_;
  const Workers& workers_;
  const Plan plan_;
  double* losses_;  // of each row of tiles
  float* partial_;  // [slabs, padded channels, padded channels]
  float* matrix_;   // [channels, channels] of the features' element
  float* panels_;
  float* packs_;
};

}  // namespace

size_t ScratchBytes(const Features& features, const Workers& workers) {
  const Plan plan(features);
  const int64_t floats = (plan.num_slabs + 2) * plan.padded * plan.padded +
                         plan.pack_floats * workers.num_workers;
  return floats * sizeof(float) + plan.padded / kTile * sizeof(double) +
         5 * kMemoryAlignment;
}

void Gram(const Features& features, void* scratch, const Workers& workers,
          float* gram) {
  Picture picture(features, scratch, workers);
  picture.SumSlabs();
  picture.WriteGram(gram);
}

void Moments(const Features& features, void* scratch, const Workers& workers,
             float* products, float* mean) {
  Picture picture(features, scratch, workers);
  picture.WriteMean(mean);
  picture.SumSlabs(mean);
  picture.WriteGram(products);
}

void GramLoss(const Features& features, void* scratch, const Workers& workers,
              const float* target, const float* scale, float* loss,
              void* gradient) {
  Picture picture(features, scratch, workers);
  picture.SumSlabs();
  *loss = picture.WriteDerivative(target, *scale);
  picture.WriteGradient(/*row=*/nullptr, gradient);
}

void GramGradient(const Features& features, void* scratch,
                  const Workers& workers, const void* matrix, const float* row,
                  void* gradient) {
  Picture picture(features, scratch, workers);
  picture.PackMatrix(matrix);
  picture.WriteGradient(row, gradient);
}

}  // namespace tf_style
