// What the kernels for the processor have in common: element types, threads and
// scratch memory.

#ifndef TF_STYLE_KERNELS_COMMON_H_
#define TF_STYLE_KERNELS_COMMON_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

namespace tf_style {

enum class Element { kFloat32, kBfloat16 };

// Static: a file made for wider instructions must not lend its copy to others.
static inline int64_t ElementBytes(Element element) {
  return element == Element::kFloat32 ? 4 : 2;
}

static inline int64_t CeilDivide(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// Calls body(worker) for every worker in [0, num_workers), in any order or at
// once, and returns when all have.
struct Workers {
  int num_workers;
  std::function<void(const std::function<void(int)>& body)> run;
};

// Runs task(index, worker) for every index; a worker takes the next when it has
// done one.
template <typename Task>
void RunTasks(const Workers& workers, int64_t num_tasks, const Task& task) {
  std::atomic<int64_t> next{0};
  workers.run([&](int worker) {
    for (int64_t index; (index = next.fetch_add(1)) < num_tasks;) {
      task(index, worker);
    }
  });
}

struct Bfloat16 {
  Bfloat16() = default;
  explicit Bfloat16(float value) {
    uint32_t word;
    memcpy(&word, &value, sizeof(word));
    const uint32_t rounded = word + 0x7fff + (word >> 16 & 1);
    bits = (value != value ? word | 0x400000 : rounded) >> 16;
  }

  uint16_t bits;
};

static inline float Widen(float value) { return value; }

static inline float Widen(Bfloat16 value) {
  const uint32_t word = static_cast<uint32_t>(value.bits) << 16;
  float result;
  memcpy(&result, &word, sizeof(result));
  return result;
}

constexpr size_t kMemoryAlignment = 64;

// Scratch memory, handed out in aligned pieces.
class Arena {
 public:
  explicit Arena(void* memory) : next_(reinterpret_cast<uintptr_t>(memory)) {}

  float* Take(int64_t floats) {
    next_ =
        (next_ + kMemoryAlignment - 1) / kMemoryAlignment * kMemoryAlignment;
    float* piece = reinterpret_cast<float*>(next_);
    next_ += floats * sizeof(float);
    return piece;
  }

 private:
  uintptr_t next_;
};

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_COMMON_H_
