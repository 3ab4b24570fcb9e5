// What the tests of the kernels share. Each program includes this once.

#ifndef TF_STYLE_TESTS_KERNELS_TEST_H_
#define TF_STYLE_TESTS_KERNELS_TEST_H_

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "common.h"
#include "instruction_set.h"

namespace tf_style {

inline const char* CurrentName() { return Name(CurrentInstructionSet()); }

// Whether this thread is in a kernel, and what kernels have allocated so far.
inline thread_local bool in_kernel = false;
inline std::atomic<int> num_allocations{0};

// Runs a kernel, which must not allocate.
template <typename Kernel>
void RunKernel(const Kernel& kernel) {
  in_kernel = true;
  kernel();
  in_kernel = false;
}

inline Workers Threads(int count) {
  return {count, [count](const std::function<void(int)>& body) {
            const bool was_in_kernel = in_kernel;
            in_kernel = false;
            std::vector<std::thread> threads;
            for (int i = 1; i < count; ++i) {
              threads.emplace_back([&body, i, was_in_kernel] {
                in_kernel = was_in_kernel;
                body(i);
              });
            }
            in_kernel = was_in_kernel;
            body(0);
            for (std::thread& thread : threads) thread.join();
          }};
}

// Prints the outcome and returns the program's exit status.
inline int Report(int num_failures) {
  printf("%s: %d failures, %d allocations in kernels\n", CurrentName(),
         num_failures, num_allocations.load());
  return num_failures == 0 && num_allocations == 0 ? 0 : 1;
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

void* operator new(size_t bytes) {
  if (tf_style::in_kernel) ++tf_style::num_allocations;
  void* memory = malloc(bytes);
  if (memory == nullptr) abort();
  return memory;
}

void operator delete(void* memory) noexcept { free(memory); }

void operator delete(void* memory, size_t) noexcept { free(memory); }

#endif  // TF_STYLE_TESTS_KERNELS_TEST_H_
