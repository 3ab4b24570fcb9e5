// Every instruction set of this processor, at sizes that are no multiple of
// anything, against sums in double precision. Built with AddressSanitizer by
// test_kernels.py, and again for the GPU's kernels on the CPU; the arrays end
// where their last element does.

#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "gram_loss.h"
#include "kernels_test_place.h"

namespace {

using tf_style::Array;
using tf_style::CurrentName;
using tf_style::Element;
using tf_style::Features;
using tf_style::Rounding;

int num_failures = 0;

struct Shape {
  int64_t positions;
  int64_t channels;
};

void Check(const char* what, const Shape& shape, Element element, double actual,
           double expected, double bound) {
  if (std::abs(actual - expected) <= bound) return;
  ++num_failures;
  printf("%s %s [%d, %d] %s: %g, expected %g within %g\n", CurrentName(),
         element == Element::kFloat32 ? "float32" : "bfloat16",
         static_cast<int>(shape.positions), static_cast<int>(shape.channels),
         what, actual, expected, bound);
}

constexpr float kScale = 0.5;

#if defined(TF_STYLE_CUDA_ON_CPU)
constexpr bool kIsGpu = true;
#else
constexpr bool kIsGpu = false;
#endif

struct Inputs {
  Inputs(const Shape& shape, Element element)
      : features(shape.positions * shape.channels, element),
        shifted(shape.positions * shape.channels, element),
        target(shape.channels * shape.channels),
        matrix(shape.channels * shape.channels, element),
        row(shape.channels) {
    std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (int64_t i = 0; i < features.count; ++i) {
      features.Set(i, uniform(random));
      shifted.Set(i, 8 + uniform(random));
    }
    for (float& value : target) value = uniform(random);
    for (int64_t i = 0; i < matrix.count; ++i) matrix.Set(i, uniform(random));
    for (float& value : row) value = uniform(random);
  }

  Array features;
  Array shifted;  // whose mean is not 0
  std::vector<float> target;
  Array matrix;
  std::vector<float> row;
};

struct Result {
  Result(const Shape& shape, Element element)
      : gram(shape.channels * shape.channels),
        products(shape.channels * shape.channels),
        mean(shape.channels),
        gradient(shape.positions * shape.channels, element),
        product(shape.positions * shape.channels, element) {}

  std::vector<float> gram;
  std::vector<float> products;
  std::vector<float> mean;
  float loss;
  Array gradient;
  Array product;
};

Result Compute(const Shape& shape, const Inputs& inputs, int num_workers) {
  const Element element = inputs.features.element;
  const Features features = {shape.positions, shape.channels, element,
                             inputs.features.memory.get()};
  Features shifted = features;
  shifted.data = inputs.shifted.memory.get();
  Result result(shape, element);
  const auto place = tf_style::GramPlace(num_workers, features);
  const size_t bytes = tf_style::ScratchBytes(features, place);
  std::unique_ptr<char[]> memory(new char[bytes]);
  void* scratch = memory.get();
  const auto run = [&](const auto& kernel) {
    // Not-a-number wherever the code reads what it has not written.
    memset(scratch, 0xff, bytes);
    tf_style::RunAtPlace(kernel);
  };
  run([&] { return Gram(features, scratch, place, result.gram.data()); });
#if !defined(TF_STYLE_CUDA_ON_CPU)
  run([&] {
    Moments(shifted, scratch, place, result.products.data(),
            result.mean.data());
  });
#endif
  run([&] {
    return GramLoss(features, scratch, place, inputs.target.data(), &kScale,
                    &result.loss, result.gradient.memory.get());
  });
  run([&] {
    return GramGradient(features, scratch, place, inputs.matrix.memory.get(),
                        inputs.row.data(), result.product.memory.get());
  });
  return result;
}

bool SameBits(const Array& a, const Array& b) {
  return memcmp(a.memory.get(), b.memory.get(), a.bytes) == 0;
}

// A sum in double precision, and that of its terms' absolute values.
struct Sum {
  void Add(double term) {
    value += term;
    terms += std::abs(term);
  }

  double value = 0;
  double terms = 0;
};

// Entry (i, j) of the Gram matrix of the features less `mean`.
Sum GramEntry(const Shape& shape, const Array& features, int64_t i, int64_t j,
              const std::vector<double>& mean) {
  Sum sum;
  for (int64_t p = 0; p < shape.positions; ++p) {
    sum.Add((features.Get(p * shape.channels + i) - mean[i]) *
            (features.Get(p * shape.channels + j) - mean[j]));
  }
  return sum;
}

template <typename Matrix>
Sum ProductEntry(const Shape& shape, const Array& features, int64_t position,
                 int64_t j, const Matrix& matrix) {
  Sum sum;
  for (int64_t i = 0; i < shape.channels; ++i) {
    sum.Add(features.Get(position * shape.channels + i) *
            matrix(i * shape.channels + j));
  }
  return sum;
}

void Run(const Shape& shape, Element element) {
  const Inputs inputs(shape, element);
  const Result result = Compute(shape, inputs, 1);
  const Result other = Compute(shape, inputs, 3);
  const bool same = result.gram == other.gram &&
                    result.products == other.products &&
                    result.mean == other.mean && result.loss == other.loss &&
                    SameBits(result.gradient, other.gradient) &&
                    SameBits(result.product, other.product);
  Check("other bits from other threads", shape, element, same ? 0 : 1, 0, 0);

  // Half a unit in the last of 24 or of 8 bits; no sum is longer than 1025.
  const double rounding = Rounding(element);
  const double sum_error = 1025 * std::ldexp(1.0, -24);
  const int64_t channels = shape.channels;
  const std::vector<double> zeros(channels);
  std::vector<double> mean(channels);
  for (int64_t i = 0; i < channels; ++i) {
    for (int64_t p = 0; p < shape.positions; ++p) {
      mean[i] += inputs.shifted.Get(p * channels + i) / shape.positions;
    }
    if (kIsGpu) continue;  // It has no kernel for moments.
    Check("mean", shape, element, result.mean[i], mean[i], sum_error * mean[i]);
  }
  double expected_loss = 0;
  std::vector<double> derivative(channels * channels);
  for (int64_t i = 0; i < channels; ++i) {
    for (int64_t j = 0; j < channels; ++j) {
      const int64_t index = i * channels + j;
      const Sum gram = GramEntry(shape, inputs.features, i, j, zeros);
      Check("gram", shape, element, result.gram[index], gram.value,
            sum_error * gram.terms);
      // A difference of bfloat16 may be rounded. An error of the mean counts
      // squared, for the differences' sums are 0.
      if (!kIsGpu) {
        const Sum products = GramEntry(shape, inputs.shifted, i, j, mean);
        Check("products", shape, element, result.products[index],
              products.value,
              (2.1 * rounding + sum_error) * products.terms +
                  shape.positions * std::pow(9 * sum_error, 2));
      }
      const double difference = gram.value - inputs.target[index];
      expected_loss += kScale * difference * difference;
      derivative[index] += 2 * kScale * difference;
      derivative[j * channels + i] += 2 * kScale * difference;
    }
  }
  Check("loss", shape, element, result.loss, expected_loss,
        2 * sum_error * (shape.positions + expected_loss));
  for (int64_t p = 0; p < shape.positions; ++p) {
    for (int64_t j = 0; j < channels; ++j) {
      const Sum gradient =
          ProductEntry(shape, inputs.features, p, j,
                       [&](int64_t index) { return derivative[index]; });
      Check("gradient", shape, element, result.gradient.Get(p * channels + j),
            gradient.value,
            (2.1 * rounding + sum_error) * gradient.terms +
                2 * sum_error * shape.positions * channels);
      Sum product =
          ProductEntry(shape, inputs.features, p, j,
                       [&](int64_t index) { return inputs.matrix.Get(index); });
      product.Add(inputs.row[j]);
      // The GPU's is rounded before the row is added.
      Check("product", shape, element, result.product.Get(p * channels + j),
            product.value,
            ((kIsGpu ? 2.1 : 1) * rounding + sum_error) * product.terms);
    }
  }
}

}  // namespace

int main() {
  for (const Element element : {Element::kFloat32, Element::kBfloat16}) {
    Run({1, 1}, element);
    Run({3, 2}, element);
    Run({7, 3}, element);
    Run({9, 17}, element);
    Run({130, 33}, element);
    Run({257, 63}, element);
    Run({1025, 47}, element);
    Run({332, 33}, element);
    Run({13, 100}, element);
    Run({37, 259}, element);
    Run({5, 521}, element);
  }
  return tf_style::Report(num_failures);
}
