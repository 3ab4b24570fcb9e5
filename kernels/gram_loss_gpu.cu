// gram_loss.h on the GPU. The caller's `multiply` does the products; what comes
// between them is fused here.
//
// A Gram matrix has few elements and a long sum for each. So the positions are
// cut into slabs, one product of a batch for each. A kernel adds up the slabs'
// sums and the few positions that fill no slab; another compares with the
// target, sums the loss and writes the matrix of the second product. Nothing is
// added atomically: results repeat bit for bit.

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <algorithm>

#include "gpu_launch.h"
#include "gram_loss.h"

namespace tf_style {
namespace {

// Floats of partial sums in memory, at most, where that leaves two slabs.
constexpr int64_t kMaxPartialFloats = 1 << 20;
constexpr int64_t kMaxSlabs = 128;
#if !defined(TF_STYLE_MIN_SLAB_POSITIONS)  // A test on the CPU has fewer.
#define TF_STYLE_MIN_SLAB_POSITIONS 512
#endif
constexpr int64_t kMinSlabPositions = TF_STYLE_MIN_SLAB_POSITIONS;

// Half of the Gram matrix follows from the other. Leaving it out takes one
// product more for every block of columns, worth its launch from this many
// multiplications on.
#if !defined(TF_STYLE_WORK_PER_BLOCK)  // A test on the CPU has less.
#define TF_STYLE_WORK_PER_BLOCK (int64_t{1} << 33)
#endif
constexpr int64_t kWorkPerBlock = TF_STYLE_WORK_PER_BLOCK;
constexpr int64_t kMinBlockChannels = 128;

constexpr int kTile = 32;
constexpr int kTileRows = 8;  // rows of a tile that a block has threads for
static_assert(kTile * kTileRows == kThreads);
constexpr int64_t kMaxElementwiseBlocks = 4096;
constexpr int64_t kAlignment = 256;

struct Plan {
  explicit Plan(const Features& features)
      : elements(features.channels * features.channels),
        num_tiles(CeilDivide(features.channels, kTile)) {
    const int64_t most =
        std::clamp(kMaxPartialFloats / elements, int64_t{1}, kMaxSlabs);
    num_slabs =
        std::clamp(features.positions / kMinSlabPositions, int64_t{1}, most);
    slab_positions = features.positions / num_slabs;
    rest_positions = features.positions - num_slabs * slab_positions;
    num_tile_pairs = num_tiles * (num_tiles + 1) / 2;
    const int64_t blocks =
        std::clamp(features.positions * elements / kWorkPerBlock, int64_t{1},
                   std::max(int64_t{1}, features.channels / kMinBlockChannels));
    block_channels =
        CeilDivide(CeilDivide(features.channels, blocks), kTile) * kTile;
  }

  int64_t elements;
  int64_t num_tiles;
  int64_t num_tile_pairs;
  int64_t num_slabs;
  int64_t slab_positions;
  int64_t rest_positions;  // Fewer than there are slabs.
  int64_t block_channels;
};

int64_t Aligned(int64_t bytes) {
  return CeilDivide(bytes, kAlignment) * kAlignment;
}

struct Scratch {
  Scratch(const Plan& plan, void* memory) {
    char* next = static_cast<char*>(memory);
    partial = reinterpret_cast<float*>(next);
    next += Aligned(plan.num_slabs * plan.elements * sizeof(float));
    matrix = next;
    next += Aligned(plan.elements * sizeof(float));
    losses = reinterpret_cast<double*>(next);
    next += Aligned(plan.num_tile_pairs * sizeof(double));
    bytes = next - static_cast<char*>(memory);
  }

  float* partial;  // [slabs, channels, channels], where column >= row
  void* matrix;    // [channels, channels] of the features' element
  double* losses;  // [tile pairs]
  int64_t bytes;
};

// Which tile of the matrix on or above its diagonal a block of threads has.
struct TilePlace {
  __device__ explicit TilePlace(int block) : row(0), column(0) {
    while (block > column) block -= ++column;
    row = block * kTile;
    column *= kTile;
  }

  int row;
  int column;
};

// Adds to the first slab's sums those of the others and the products of the
// rest of the positions. A block has kTile elements, and its rows share what is
// added to them: the matrix of a layer with few channels has more slabs than
// elements for the threads of a GPU.
template <typename T>
__global__ void AddSlabs(float* partial, int num_slabs, int channels,
                         const T* rest, int num_rest) {
  __shared__ float sums[kTileRows][kTile];
  const int64_t elements = static_cast<int64_t>(channels) * channels;
  const int64_t index = int64_t{blockIdx.x} * kTile + threadIdx.x;
  const int i = index / channels;
  const int j = index % channels;
  // Tiles below the diagonal are their mirror images'.
  const bool is_used = index < elements && j / kTile >= i / kTile;
  float sum = 0;
  if (is_used) {
    for (int slab = threadIdx.y; slab < num_slabs; slab += kTileRows) {
      sum += partial[slab * elements + index];
    }
    for (int p = threadIdx.y; p < num_rest; p += kTileRows) {
      const T* position = rest + static_cast<int64_t>(p) * channels;
      sum += static_cast<float>(position[i]) * static_cast<float>(position[j]);
    }
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (!is_used || threadIdx.y > 0) return;
  for (int y = 1; y < kTileRows; ++y) sum += sums[y][threadIdx.x];
  partial[index] = sum;
}

__global__ void WriteGram(const float* sums, int channels, float* gram) {
  __shared__ float mirrored[kTile][kTile + 1];
  const TilePlace place(blockIdx.x);
  for (int y = threadIdx.y; y < kTile; y += kTileRows) {
    const int i = place.row + y;
    const int j = place.column + threadIdx.x;
    if (i < channels && j < channels) {
      const int64_t index = static_cast<int64_t>(i) * channels + j;
      mirrored[threadIdx.x][y] = sums[index];
      gram[index] = sums[index];
    }
  }
  if (place.row == place.column) return;
  __syncthreads();
  for (int y = threadIdx.y; y < kTile; y += kTileRows) {
    const int i = place.column + y;
    const int j = place.row + threadIdx.x;
    if (i < channels && j < channels) {
      gram[static_cast<int64_t>(i) * channels + j] = mirrored[y][threadIdx.x];
    }
  }
}

// Writes matrix = 2 * scale * ((G - target) + (G - target)^T) and, for every
// tile and its mirror image, the sum of the squared differences.
template <typename T>
__global__ void WriteDerivative(const float* sums, int channels,
                                const float* target, const float* scale,
                                T* matrix, double* losses) {
  __shared__ float mirrored[kTile][kTile + 1];
  const TilePlace place(blockIdx.x);
  const bool on_diagonal = place.row == place.column;
  const float factor = 2 * *scale;
  for (int y = threadIdx.y; y < kTile; y += kTileRows) {
    const int i = place.column + y;
    const int j = place.row + threadIdx.x;
    if (i < channels && j < channels) {
      mirrored[y][threadIdx.x] = target[static_cast<int64_t>(i) * channels + j];
    }
  }
  __syncthreads();
  double loss = 0;
  for (int y = threadIdx.y; y < kTile; y += kTileRows) {
    const int i = place.row + y;
    const int j = place.column + threadIdx.x;
    if (i < channels && j < channels) {
      const int64_t index = static_cast<int64_t>(i) * channels + j;
      const float above = sums[index] - target[index];
      const float below = sums[index] - mirrored[threadIdx.x][y];
      loss += static_cast<double>(above) * above;
      if (!on_diagonal) loss += static_cast<double>(below) * below;
      const float derivative = factor * (above + below);
      matrix[index] = static_cast<T>(derivative);
      // Only this thread reads this element of the target, so it may go.
      if (!on_diagonal) mirrored[threadIdx.x][y] = derivative;
    }
  }
  const double total = SumOverBlock(loss);
  if (threadIdx.x == 0 && threadIdx.y == 0) losses[blockIdx.x] = total;
  if (on_diagonal) return;
  for (int y = threadIdx.y; y < kTile; y += kTileRows) {
    const int i = place.column + y;
    const int j = place.row + threadIdx.x;
    if (i < channels && j < channels) {
      matrix[static_cast<int64_t>(i) * channels + j] =
          static_cast<T>(mirrored[y][threadIdx.x]);
    }
  }
}

__global__ void WriteLoss(const double* losses, int count, const float* scale,
                          float* loss) {
  double sum = 0;
  const int thread = threadIdx.y * blockDim.x + threadIdx.x;
  for (int i = thread; i < count; i += kThreads) sum += losses[i];
  sum = SumOverBlock(sum);
  if (thread == 0) *loss = static_cast<float>(*scale * sum);
}

template <typename T>
__global__ void AddRow(const float* row, int channels, int64_t count, T* rows) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (; i < count; i += step) {
    rows[i] = static_cast<T>(static_cast<float>(rows[i]) + row[i % channels]);
  }
}

dim3 ThreadsOfTile() { return dim3(kTile, kTileRows); }

// Leaves the sums over all positions in the first slab. Row-major features
// [positions, channels] are column-major F^T [channels, positions]: F^T times
// its transpose is the Gram matrix.
template <typename T>
std::string SumPositions(const Features& features, const Plan& plan,
                         float* partial, const Gpu& gpu) {
  const int64_t channels = features.channels;
  for (int64_t first = 0; first < channels; first += plan.block_channels) {
    Product product = {};
    product.transpose_right = true;
    product.rows = channels - first;
    product.columns = std::min(plan.block_channels, channels - first);
    product.depth = plan.slab_positions;
    product.left = product.right = static_cast<const T*>(features.data) + first;
    product.result = partial + first * channels + first;
    product.float32_result = true;
    product.count = plan.num_slabs;
    product.operand_stride = plan.slab_positions * channels;
    product.result_stride = plan.elements;
    const std::string error = gpu.multiply(product);
    if (!error.empty()) return error;
  }
  if (plan.num_slabs == 1) return "";  // And no rest.
  const int64_t done = plan.num_slabs * plan.slab_positions;
  return Launch(AddSlabs<T>, CeilDivide(plan.elements, kTile), ThreadsOfTile(),
                gpu.stream, partial, plan.num_slabs, channels,
                static_cast<const T*>(features.data) + done * channels,
                plan.rest_positions);
}

template <typename T>
std::string Derive(const Features& features, const Plan& plan,
                   const Scratch& scratch, const float* target,
                   const float* scale, const Gpu& gpu, float* loss) {
  std::string error = SumPositions<T>(features, plan, scratch.partial, gpu);
  if (!error.empty()) return error;
  error = Launch(WriteDerivative<T>, plan.num_tile_pairs, ThreadsOfTile(),
                 gpu.stream, scratch.partial, features.channels, target, scale,
                 static_cast<T*>(scratch.matrix), scratch.losses);
  if (!error.empty()) return error;
  return Launch(WriteLoss, 1, kThreads, gpu.stream, scratch.losses,
                plan.num_tile_pairs, scale, loss);
}

template <typename T>
std::string AddToRows(const Features& features, const float* row,
                      GpuStream stream, void* rows) {
  const int64_t count = features.positions * features.channels;
  const int64_t blocks =
      std::min(CeilDivide(count, kThreads), kMaxElementwiseBlocks);
  return Launch(AddRow<T>, blocks, kThreads, stream, row, features.channels,
                count, static_cast<T*>(rows));
}

}  // namespace

size_t ScratchBytes(const Features& features, const Gpu&) {
  return Scratch(Plan(features), nullptr).bytes;
}

std::string Gram(const Features& features, void* memory, const Gpu& gpu,
                 float* gram) {
  const Plan plan(features);
  const Scratch scratch(plan, memory);
  const auto sum = features.element == Element::kFloat32
                       ? SumPositions<float>
                       : SumPositions<__nv_bfloat16>;
  const std::string error = sum(features, plan, scratch.partial, gpu);
  if (!error.empty()) return error;
  return Launch(WriteGram, plan.num_tile_pairs, ThreadsOfTile(), gpu.stream,
                scratch.partial, features.channels, gram);
}

std::string GramLoss(const Features& features, void* memory, const Gpu& gpu,
                     const float* target, const float* scale, float* loss,
                     void* gradient) {
  const Plan plan(features);
  const Scratch scratch(plan, memory);
  const auto derive = features.element == Element::kFloat32
                          ? Derive<float>
                          : Derive<__nv_bfloat16>;
  const std::string error =
      derive(features, plan, scratch, target, scale, gpu, loss);
  if (!error.empty()) return error;
  return GramGradient(features, memory, gpu, scratch.matrix, /*row=*/nullptr,
                      gradient);
}

// Features, matrix and gradient are, in column-major order, the transposes.
std::string GramGradient(const Features& features, void*, const Gpu& gpu,
                         const void* matrix, const float* row, void* gradient) {
  Product product = {};
  product.rows = features.channels;
  product.columns = features.positions;
  product.depth = features.channels;
  product.left = matrix;
  product.right = features.data;
  product.result = gradient;
  const std::string error = gpu.multiply(product);
  if (!error.empty() || row == nullptr) return error;
  const auto add = features.element == Element::kFloat32
                       ? AddToRows<float>
                       : AddToRows<__nv_bfloat16>;
  return add(features, row, gpu.stream, gradient);
}

}  // namespace tf_style
