// Every instruction set of this processor, at sizes that fill no vector and no
// piece, against sums in double precision. Built with AddressSanitizer by
// test_kernels.py, and again for the GPU's kernels on the CPU; the arrays end
// where their last element does.

#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "kernels_test_place.h"
#include "multi_vector.h"

namespace {

using tf_style::Array;
using tf_style::CurrentName;
using tf_style::Element;
using tf_style::Rounding;
using tf_style::Vectors;

int num_failures = 0;

void Check(const char* what, int64_t size, Element element, double actual,
           double expected, double bound) {
  if (std::abs(actual - expected) <= bound) return;
  ++num_failures;
  printf("%s %s %d %s: %g, expected %g within %g\n", CurrentName(),
         element == Element::kFloat32 ? "float32" : "bfloat16",
         static_cast<int>(size), what, actual, expected, bound);
}

void Test(int64_t size, int count, Element element, std::mt19937& random) {
  std::normal_distribution<float> normal;
  Array q(size, Element::kFloat32);
  std::vector<Array> arrays;
  std::vector<float> factors;
  std::vector<const void*> pointers;
  for (int i = 0; i < count; ++i) {
    arrays.emplace_back(size, element);
    pointers.push_back(arrays.back().memory.get());
    factors.push_back(normal(random));
  }
  const Vectors vectors = {size, element, count, pointers.data()};
  for (int64_t k = 0; k < size; ++k) {
    q.Set(k, normal(random));
    for (Array& array : arrays) array.Set(k, normal(random));
  }
  float* const values = reinterpret_cast<float*>(q.memory.get());
  const double unit = Rounding(Element::kFloat32);

  std::vector<double> products(count), of_one(count);
  const size_t bytes =
      tf_style::MultiDotScratchBytes(vectors, tf_style::Place(3));
  std::unique_ptr<char[]> scratch(new char[bytes]);
  // Not-a-number wherever the code reads what it has not written.
  memset(scratch.get(), 0xff, bytes);
  const auto dot = [&](int num_workers, std::vector<double>& result) {
    const auto place = tf_style::Place(num_workers);
    tf_style::RunAtPlace([&] {
      return MultiDot(vectors, values, scratch.get(), place, result.data());
    });
  };
  dot(3, products);
  dot(1, of_one);
  for (int i = 0; i < count; ++i) {
    double sum = 0, magnitude = 0;
    for (int64_t k = 0; k < size; ++k) {
      sum += q.Get(k) * arrays[i].Get(k);
      magnitude += std::abs(q.Get(k) * arrays[i].Get(k));
    }
    // A lane of the narrowest vectors adds up 256 numbers of a piece.
    Check("product", size, element, products[i], sum, 260 * unit * magnitude);
    Check("product, of one worker", size, element, products[i], of_one[i], 0);
  }

  std::vector<double> sums(size), magnitudes(size);
  for (int64_t k = 0; k < size; ++k) {
    sums[k] = q.Get(k);
    magnitudes[k] = std::abs(sums[k]);
    for (int i = 0; i < count; ++i) {
      sums[k] += factors[i] * arrays[i].Get(k);
      magnitudes[k] += std::abs(factors[i] * arrays[i].Get(k));
    }
  }
  Array result(size, Element::kFloat32);
  float* const results = reinterpret_cast<float*>(result.memory.get());
  for (float* const target : {results, values}) {
    const auto place = tf_style::Place(3);
    tf_style::RunAtPlace([&] {
      return MultiAxpy(vectors, factors.data(), values, place, target);
    });
  }
  for (int64_t k = 0; k < size; ++k) {
    Check("sum, elsewhere", size, element, result.Get(k), q.Get(k), 0);
    Check("sum", size, element, q.Get(k), sums[k],
          (count + 1) * unit * magnitudes[k]);
  }
}

}  // namespace

int main() {
  std::mt19937 random(0);
#if defined(TF_STYLE_CUDA_ON_CPU)
  // Read one by one and four at a time, in one slab and in several.
  const std::vector<int64_t> sizes = {1, 17, 200, 12301, 12300};
#else
  const std::vector<int64_t> sizes = {1,  15,  16,   17,   63,
                                      64, 200, 4096, 4097, 20001};
#endif
  for (const Element element : {Element::kFloat32, Element::kBfloat16}) {
    for (const int64_t size : sizes) {
      for (const int count : {1, 9}) Test(size, count, element, random);
    }
    Test(5, 66, element, random);  // More than a launch of the GPU takes.
    Test(8, 66, element, random);
  }
  return tf_style::Report(num_failures);
}
