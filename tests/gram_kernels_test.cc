// Every instruction set of this processor, at sizes that are no multiple of
// anything, against sums in double precision. Built with AddressSanitizer by
// test_kernels.py; the arrays end where their last element does.

#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "gram_loss.h"
#include "kernels_test.h"

namespace {

using tf_style::Array;
using tf_style::CurrentName;
using tf_style::Element;
using tf_style::GramShape;
using tf_style::Rounding;
using tf_style::Threads;
using tf_style::Workers;

int num_failures = 0;

struct Features : Array {
  Features(const GramShape& shape, Element element)
      : Array(shape.batch * shape.positions * shape.channels, element) {}
};

void Check(const char* what, const GramShape& shape, const Features& features,
           double actual, double expected, double bound) {
  if (std::abs(actual - expected) <= bound) return;
  ++num_failures;
  printf("%s %s [%d, %d, %d] %s: %g, expected %g within %g\n", CurrentName(),
         features.element == Element::kFloat32 ? "float32" : "bfloat16",
         static_cast<int>(shape.batch), static_cast<int>(shape.positions),
         static_cast<int>(shape.channels), what, actual, expected, bound);
}

constexpr float kScale = 0.5;

struct Result {
  std::vector<float> gram;
  std::vector<float> loss;
  Features gradient;
};

Result Compute(const GramShape& shape, const Features& features,
               const std::vector<float>& target, int num_workers) {
  Result result = {
      std::vector<float>(shape.batch * shape.channels * shape.channels),
      std::vector<float>(shape.batch), Features(shape, features.element)};
  const Workers workers = Threads(num_workers);
  const size_t bytes = tf_style::ScratchBytes(shape, workers);
  std::unique_ptr<char[]> scratch(new char[bytes]);
  // Not-a-number wherever the code reads what it has not written.
  memset(scratch.get(), 0xff, bytes);
  tf_style::RunKernel([&] {
    tf_style::Gram(shape, features.element, features.memory.get(),
                   scratch.get(), workers, result.gram.data());
  });
  memset(scratch.get(), 0xff, bytes);
  tf_style::RunKernel([&] {
    tf_style::GramLoss(shape, features.element, features.memory.get(),
                       {target.data(), 1, &kScale}, scratch.get(), workers,
                       result.loss.data(), result.gradient.memory.get());
  });
  return result;
}

void CheckSame(const GramShape& shape, const Features& features,
               const Result& a, const Result& b) {
  const bool same = a.gram == b.gram && a.loss == b.loss &&
                    memcmp(a.gradient.memory.get(), b.gradient.memory.get(),
                           a.gradient.bytes) == 0;
  Check("other bits from other threads", shape, features, same ? 0 : 1, 0, 0);
}

void Run(const GramShape& shape, Element element) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  Features features(shape, element);
  for (int64_t i = 0; i < features.count; ++i) {
    features.Set(i, uniform(random));
  }
  const int64_t channels = shape.channels;
  std::vector<float> target(channels * channels);
  for (float& value : target) value = uniform(random);
  const Result result = Compute(shape, features, target, 1);
  CheckSame(shape, features, result, Compute(shape, features, target, 3));

  // Half a unit in the last of 24 or of 8 bits; no sum is longer than 1025.
  const double rounding = Rounding(element);
  const double sum_error = 1025 * std::ldexp(1.0, -24);
  std::vector<double> derivative(channels * channels);
  for (int64_t batch = 0; batch < shape.batch; ++batch) {
    const int64_t first = batch * shape.positions * channels;
    double expected_loss = 0;
    for (int64_t i = 0; i < channels; ++i) {
      for (int64_t j = 0; j < channels; ++j) {
        double sum = 0;
        double terms = 0;
        for (int64_t p = 0; p < shape.positions; ++p) {
          const double term = features.Get(first + p * channels + i) *
                              features.Get(first + p * channels + j);
          sum += term;
          terms += std::abs(term);
        }
        Check("gram", shape, features,
              result.gram[(batch * channels + i) * channels + j], sum,
              sum_error * terms);
        const double difference = sum - target[i * channels + j];
        expected_loss += kScale * difference * difference;
        derivative[i * channels + j] += 2 * kScale * difference;
        derivative[j * channels + i] += 2 * kScale * difference;
      }
    }
    Check("loss", shape, features, result.loss[batch], expected_loss,
          2 * sum_error * (shape.positions + expected_loss));
    for (int64_t p = 0; p < shape.positions; ++p) {
      for (int64_t j = 0; j < channels; ++j) {
        double sum = 0;
        double terms = 0;
        for (int64_t i = 0; i < channels; ++i) {
          const double term = features.Get(first + p * channels + i) *
                              derivative[i * channels + j];
          sum += term;
          terms += std::abs(term);
        }
        Check("gradient", shape, features,
              result.gradient.Get(first + p * channels + j), sum,
              (2.1 * rounding + sum_error) * terms +
                  2 * sum_error * shape.positions * channels);
      }
    }
    std::fill(derivative.begin(), derivative.end(), 0.0);
  }
}

}  // namespace

int main() {
  for (const Element element : {Element::kFloat32, Element::kBfloat16}) {
    Run({1, 1, 1}, element);
    Run({2, 3, 2}, element);
    Run({1, 7, 3}, element);
    Run({3, 9, 17}, element);
    Run({1, 130, 33}, element);
    Run({1, 257, 63}, element);
    Run({1, 1025, 47}, element);
    Run({1, 13, 100}, element);
    Run({1, 37, 259}, element);
    Run({1, 5, 521}, element);
  }
  return tf_style::Report(num_failures);
}
