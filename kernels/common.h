// What the kernels for the CPU share: element types, threads and scratch
// memory.
//
// A kernel allocates nothing: a failed allocation in a thread of the pool would
// end the process, where one of TensorFlow's becomes the op's error. The caller
// provides scratch memory, of the size that the kernel names.

#ifndef TF_STYLE_KERNELS_COMMON_H_
#define TF_STYLE_KERNELS_COMMON_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

namespace tf_style {

enum class Element { kFloat32, kBfloat16 };

// Static, so that the linker does not take the copy of a unit that is compiled
// for wider instructions in place of the others'.
static inline int64_t ElementBytes(Element element) {
  return element == Element::kFloat32 ? 4 : 2;
}

static inline int64_t CeilDivide(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// Calls body(worker) for every worker in [0, num_workers), in any order or
// concurrently, and returns when all calls have.
struct Workers {
  int num_workers;
  std::function<void(const std::function<void(int)>& body)> run;
};

// Runs task(index, worker) for every index in [0, num_tasks). A worker takes
// the next index whenever it has finished one.
template <typename Task>
void RunTasks(const Workers& workers, int64_t num_tasks, const Task& task) {
  std::atomic<int64_t> next{0};
  const auto body = [&](int worker) {
    for (int64_t index; (index = next.fetch_add(1)) < num_tasks;) {
      task(index, worker);
    }
  };
  workers.run(std::cref(body));  // As a copy, std::function would allocate it.
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

// Scratch memory, handed out in aligned pieces. Each may cost kMemoryAlignment
// bytes beyond its own.
class Arena {
 public:
  explicit Arena(void* memory) : next_(reinterpret_cast<uintptr_t>(memory)) {}

  template <typename T = float>
  T* Take(int64_t count) {
    next_ =
        (next_ + kMemoryAlignment - 1) / kMemoryAlignment * kMemoryAlignment;
    T* piece = reinterpret_cast<T*>(next_);
    next_ += count * sizeof(T);
    return piece;
  }

 private:
  uintptr_t next_;
};

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_COMMON_H_
