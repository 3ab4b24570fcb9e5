// What the tests of the kernels have in common.

#ifndef TF_STYLE_TESTS_KERNELS_TEST_H_
#define TF_STYLE_TESTS_KERNELS_TEST_H_

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "common.h"
#include "instruction_set.h"

namespace tf_style {

inline const char* CurrentName() { return Name(CurrentInstructionSet()); }

inline Workers Threads(int count) {
  return {count, [count](const std::function<void(int)>& body) {
            std::vector<std::thread> threads;
            for (int i = 1; i < count; ++i) threads.emplace_back(body, i);
            body(0);
            for (std::thread& thread : threads) thread.join();
          }};
}

// Half a unit in the last of 24 or of 8 bits.
inline double Rounding(Element element) {
  return std::ldexp(1.0, element == Element::kFloat32 ? -24 : -8);
}

// Numbers in memory that ends where the last one does.
struct Array {
  Array(int64_t count, Element element)
      : element(element),
        count(count),
        bytes(count * ElementBytes(element)),
        memory(new char[bytes]) {}

  double Get(int64_t index) const {
    if (element == Element::kBfloat16) {
      uint16_t half;
      memcpy(&half, memory.get() + 2 * index, sizeof(half));
      const uint32_t bits = static_cast<uint32_t>(half) << 16;
      float value;
      memcpy(&value, &bits, sizeof(value));
      return value;
    }
    float value;
    memcpy(&value, memory.get() + 4 * index, sizeof(value));
    return value;
  }

  void Set(int64_t index, float value) {
    if (element == Element::kBfloat16) {
      const Bfloat16 half(value);
      memcpy(memory.get() + 2 * index, &half.bits, sizeof(half.bits));
    } else {
      memcpy(memory.get() + 4 * index, &value, sizeof(value));
    }
  }

  Element element;
  int64_t count;
  size_t bytes;
  std::unique_ptr<char[]> memory;
};

}  // namespace tf_style

#endif  // TF_STYLE_TESTS_KERNELS_TEST_H_
