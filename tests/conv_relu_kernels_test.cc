// Every instruction set of this processor, at sizes that are no multiple of a
// tile, against sums in double precision. Built with AddressSanitizer by
// test_kernels.py; the arrays end where their last element does.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "conv_relu.h"
#include "kernels_test.h"
#include "rgb_conv_relu.h"

namespace {

using tf_style::Array;
using tf_style::ConvInputs;
using tf_style::ConvShape;
using tf_style::CurrentName;
using tf_style::Element;
using tf_style::RgbShape;
using tf_style::Rounding;
using tf_style::Threads;
using tf_style::Workers;

int num_failures = 0;

void Check(const char* what, const ConvShape& shape, Element element,
           double actual, double expected, double bound) {
  if (std::abs(actual - expected) <= bound) return;
  ++num_failures;
  printf("%s %s [%d, %d, %d, %d] to %d %s: %g, expected %g within %g\n",
         CurrentName(), element == Element::kFloat32 ? "float32" : "bfloat16",
         static_cast<int>(shape.batch), static_cast<int>(shape.height),
         static_cast<int>(shape.width), static_cast<int>(shape.in_channels),
         static_cast<int>(shape.out_channels), what, actual, expected, bound);
}

Array Compute(const ConvShape& shape, Element element, const ConvInputs& inputs,
              int num_workers) {
  const Workers workers = Threads(num_workers);
  const size_t bytes = tf_style::ConvScratchBytes(shape, workers);
  std::unique_ptr<char[]> scratch(new char[bytes]);
  // Not-a-number wherever the code reads what it has not written.
  memset(scratch.get(), 0xff, bytes);
  Array output(shape.batch * shape.height * shape.width * shape.out_channels,
               element);
  tf_style::RunKernel([&] {
    Convolve(shape, element, inputs, scratch.get(), workers,
             output.memory.get());
  });
  return output;
}

constexpr double kInputTransform[4][4] = {
    {1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}};
constexpr double kFilterTransform[4][3] = {
    {1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
constexpr double kOutputTransform[2][4] = {{1, 1, 1, 0}, {0, 1, -1, -1}};

// The value of one output, and the sum of the magnitudes of the products that
// Winograd's method adds up for it, each of two factors that are rounded.
struct Expected {
  double value;
  double terms;
};

Expected Find(const ConvShape& shape, const Array& input, const Array* mask,
              const std::vector<float>& filter, bool for_gradient, int64_t b,
              int64_t y, int64_t x, int64_t out) {
  Expected expected = {0, 0};
  const auto at = [&](int64_t i, int64_t j, int64_t in) {
    if (i < 0 || i >= shape.height || j < 0 || j >= shape.width) return 0.0;
    const int64_t index =
        ((b * shape.height + i) * shape.width + j) * shape.in_channels + in;
    if (mask != nullptr && !(mask->Get(index) > 0)) return 0.0;
    return input.Get(index);
  };
  const auto tap = [&](int64_t i, int64_t j, int64_t in) {
    return for_gradient ? filter[((2 - i) * 3 + 2 - j) * shape.out_channels *
                                     shape.in_channels +
                                 out * shape.in_channels + in]
                        : filter[((i * 3 + j) * shape.in_channels + in) *
                                     shape.out_channels +
                                 out];
  };
  const int64_t top = y / 2 * 2 - 1;
  const int64_t left = x / 2 * 2 - 1;
  for (int64_t in = 0; in < shape.in_channels; ++in) {
    for (int64_t i = 0; i < 3; ++i) {
      for (int64_t j = 0; j < 3; ++j) {
        expected.value += tap(i, j, in) * at(y + i - 1, x + j - 1, in);
      }
    }
    for (int64_t p = 0; p < 4; ++p) {
      for (int64_t q = 0; q < 4; ++q) {
        double left_factor = 0;
        double right_factor = 0;
        for (int64_t i = 0; i < 4; ++i) {
          for (int64_t j = 0; j < 4; ++j) {
            left_factor += kInputTransform[p][i] * kInputTransform[q][j] *
                           at(top + i, left + j, in);
          }
        }
        for (int64_t i = 0; i < 3; ++i) {
          for (int64_t j = 0; j < 3; ++j) {
            right_factor +=
                kFilterTransform[p][i] * kFilterTransform[q][j] * tap(i, j, in);
          }
        }
        expected.terms +=
            std::abs(kOutputTransform[y % 2][p] * kOutputTransform[x % 2][q] *
                     left_factor * right_factor);
      }
    }
  }
  return expected;
}

void Run(const ConvShape& shape, Element element) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  const int64_t positions = shape.batch * shape.height * shape.width;
  Array input(positions * shape.in_channels, element);
  Array mask(input.count, element);
  for (int64_t i = 0; i < input.count; ++i) {
    input.Set(i, uniform(random));
    mask.Set(i, uniform(random));
  }
  std::vector<float> filter(9 * shape.in_channels * shape.out_channels);
  for (float& value : filter) value = uniform(random);
  std::vector<float> bias(shape.out_channels);
  for (float& value : bias) value = uniform(random);
  for (const bool for_gradient : {false, true}) {
    std::unique_ptr<char[]> packed(new char[tf_style::PackedFilterBytes(
        shape.in_channels, shape.out_channels, element)]);
    // The gradient's filter is packed from the forward one, whose input
    // channels are this convolution's outputs.
    const Workers workers = Threads(2);
    std::unique_ptr<char[]> scratch(new char[tf_style::PackFilterScratchBytes(
        shape.in_channels, shape.out_channels, workers)]);
    tf_style::RunKernel([&] {
      PackFilter(filter.data(),
                 for_gradient ? shape.out_channels : shape.in_channels,
                 for_gradient ? shape.in_channels : shape.out_channels,
                 for_gradient, element, scratch.get(), workers, packed.get());
    });
    const ConvInputs inputs = {
        input.memory.get(), for_gradient ? mask.memory.get() : nullptr,
        packed.get(), for_gradient ? nullptr : bias.data()};
    const Array output = Compute(shape, element, inputs, 1);
    const Array again = Compute(shape, element, inputs, 3);
    const bool is_same =
        memcmp(output.memory.get(), again.memory.get(), output.bytes) == 0;
    Check("other bits from other threads", shape, element, !is_same, 0, 0);
    int64_t index = 0;
    for (int64_t b = 0; b < shape.batch; ++b) {
      for (int64_t y = 0; y < shape.height; ++y) {
        for (int64_t x = 0; x < shape.width; ++x) {
          for (int64_t out = 0; out < shape.out_channels; ++out) {
            Expected expected =
                Find(shape, input, for_gradient ? &mask : nullptr, filter,
                     for_gradient, b, y, x, out);
            if (!for_gradient) {
              expected.value = std::max(0.0, expected.value + bias[out]);
            }
            // Both factors are rounded, the sums of float32, and the result.
            const double sum_error =
                (shape.in_channels + 64) * std::ldexp(1.0, -24);
            const double rounding = Rounding(element);
            Check(for_gradient ? "gradient" : "output", shape, element,
                  output.Get(index++), expected.value,
                  (2.1 * rounding + sum_error) * expected.terms +
                      1.1 * rounding * std::abs(expected.value) + 1e-6);
          }
        }
      }
    }
  }
}

void CheckRgb(const char* what, const RgbShape& shape, Element element,
              double actual, double expected, double bound) {
  Check(what, {shape.batch, shape.height, shape.width, 3, shape.channels},
        element, actual, expected, bound);
}

void RunRgb(const RgbShape& shape, Element element) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  const int64_t height = shape.height + 2;
  const int64_t width = shape.width + 2;
  std::vector<float> picture(shape.batch * height * width * 3);
  for (float& value : picture) value = uniform(random);
  std::vector<float> filter(27 * shape.channels);
  for (float& value : filter) value = uniform(random);
  std::vector<float> bias(shape.channels);
  for (float& value : bias) value = uniform(random);
  const int64_t count =
      shape.batch * shape.height * shape.width * shape.channels;
  Array upstream(count, element);
  for (int64_t i = 0; i < count; ++i) upstream.Set(i, uniform(random));

  Array outputs[2] = {Array(count, element), Array(count, element)};
  std::vector<float> gradients[2];
  for (const int i : {0, 1}) {
    const Workers workers = Threads(1 + 2 * i);
    const size_t bytes = tf_style::RgbScratchBytes(shape, workers);
    std::unique_ptr<char[]> scratch(new char[bytes]);
    memset(scratch.get(), 0xff, bytes);
    tf_style::RunKernel([&] {
      RgbConvRelu(shape, element, picture.data(), filter.data(), bias.data(),
                  scratch.get(), workers, outputs[i].memory.get());
    });
    memset(scratch.get(), 0xff, bytes);
    gradients[i].resize(picture.size());
    tf_style::RunKernel([&] {
      RgbConvReluGradient(shape, element, upstream.memory.get(),
                          outputs[i].memory.get(), filter.data(), scratch.get(),
                          workers, gradients[i].data());
    });
  }
  const bool is_same = memcmp(outputs[0].memory.get(), outputs[1].memory.get(),
                              outputs[0].bytes) == 0 &&
                       gradients[0] == gradients[1];
  CheckRgb("other bits from other threads", shape, element, !is_same, 0, 0);

  // 27 products of numbers below 1, and as many for each channel; rounded once.
  const double sum_error = 28 * 28 * std::ldexp(1.0, -24);
  std::vector<double> gradient(picture.size());
  int64_t index = 0;
  for (int64_t b = 0; b < shape.batch; ++b) {
    for (int64_t y = 0; y < shape.height; ++y) {
      for (int64_t x = 0; x < shape.width; ++x) {
        for (int64_t channel = 0; channel < shape.channels; ++channel) {
          double sum = bias[channel];
          const bool counts = outputs[0].Get(index) > 0;
          for (int64_t tap = 0; tap < 27; ++tap) {
            const int64_t place =
                ((b * height + y + tap / 9) * width + x + tap / 3 % 3) * 3 +
                tap % 3;
            const double weight = filter[tap * shape.channels + channel];
            sum += weight * picture[place];
            if (counts) gradient[place] += weight * upstream.Get(index);
          }
          CheckRgb("rgb output", shape, element, outputs[0].Get(index),
                   std::max(sum, 0.0),
                   sum_error + 1.1 * Rounding(element) * std::abs(sum));
          ++index;
        }
      }
    }
  }
  for (size_t i = 0; i < gradient.size(); ++i) {
    CheckRgb("rgb gradient", shape, element, gradients[0][i], gradient[i],
             shape.channels * sum_error);
  }
}

}  // namespace

int main() {
  for (const Element element : {Element::kFloat32, Element::kBfloat16}) {
    Run({1, 1, 1, 16, 16}, element);
    Run({2, 2, 3, 16, 48}, element);
    Run({1, 5, 9, 32, 16}, element);
    Run({1, 18, 13, 16, 16}, element);
    Run({3, 7, 6, 16, 32}, element);
    Run({1, 2, 2, 192, 16}, element);
    Run({1, 3, 2, 16, 128}, element);
    RunRgb({1, 1, 1, 16}, element);
    RunRgb({2, 5, 37, 64}, element);
    RunRgb({1, 19, 32, 48}, element);
  }
  return tf_style::Report(num_failures);
}
