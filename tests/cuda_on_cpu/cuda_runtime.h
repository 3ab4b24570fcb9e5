// What the GPU's kernels need of CUDA, on the CPU: each block's threads in
// turn, from one barrier to the next.
//
// Where a barrier is missing, the result depends on the order of the threads:
// run in both.

#ifndef TF_STYLE_TESTS_CUDA_ON_CPU_CUDA_RUNTIME_H_
#define TF_STYLE_TESTS_CUDA_ON_CPU_CUDA_RUNTIME_H_

#include <sanitizer/common_interface_defs.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __syncthreads() cuda_on_cpu::Synchronize(__FILE__, __LINE__)
#define CUDART_VERSION 13000

struct dim3 {
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1)
      : x(x), y(y), z(z) {}

  unsigned x, y, z;
};

inline dim3 gridDim, blockDim, blockIdx, threadIdx;

using cudaStream_t = void*;
enum cudaError_t { cudaSuccess };
inline const char* cudaGetErrorString(cudaError_t) { return ""; }

namespace cuda_on_cpu {

inline bool is_reversed = false;  // the order of a block's threads

struct Fiber {
  static constexpr size_t kStackBytes = 1 << 17;

  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  ucontext_t context;
  bool is_done;
  int line;  // of the barrier at which it waits
};

inline ucontext_t scheduler;
inline const void* scheduler_stack;
inline size_t scheduler_stack_bytes;
inline Fiber* current;
inline const std::function<void()>* body;

// From the current fiber to the scheduler.
inline void Return() {
  void* fake_stack;
  __sanitizer_start_switch_fiber(current->is_done ? nullptr : &fake_stack,
                                 scheduler_stack, scheduler_stack_bytes);
  swapcontext(&current->context, &scheduler);
  __sanitizer_finish_switch_fiber(fake_stack, &scheduler_stack,
                                  &scheduler_stack_bytes);
}

inline void Synchronize(const char*, int line) {
  current->line = line;
  Return();
}

inline void Enter() {
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack,
                                  &scheduler_stack_bytes);
  (*body)();
  current->is_done = true;
  Return();
}

// Runs a thread from where it stands to its next barrier or its end.
inline void Resume(Fiber& fiber) {
  current = &fiber;
  void* fake_stack;
  __sanitizer_start_switch_fiber(&fake_stack, fiber.stack.get(),
                                 Fiber::kStackBytes);
  swapcontext(&scheduler, &fiber.context);
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
}

inline void RunBlock() {
  static std::vector<Fiber> fibers;
  const size_t count = blockDim.x * blockDim.y;
  if (fibers.size() < count) fibers.resize(count);
  for (size_t i = 0; i < count; ++i) {
    Fiber& fiber = fibers[i];
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = Fiber::kStackBytes;
    fiber.context.uc_link = nullptr;
    fiber.is_done = false;
    makecontext(&fiber.context, Enter, 0);
  }
  for (size_t num_done = 0; num_done < count;) {
    int line = 0;
    for (size_t turn = 0; turn < count; ++turn) {
      const size_t i = is_reversed ? count - 1 - turn : turn;
      if (fibers[i].is_done) continue;
      threadIdx = dim3(i % blockDim.x, i / blockDim.x);
      Resume(fibers[i]);
      if (fibers[i].is_done) {
        ++num_done;
      } else if (line == 0) {
        line = fibers[i].line;
      } else if (line != fibers[i].line) {
        printf("threads of a block wait at lines %d and %d\n", line,
               fibers[i].line);
        abort();
      }
    }
  }
}

template <typename... Parameters, size_t... index>
void Run(void (*kernel)(Parameters...), void** arguments,
         std::index_sequence<index...>) {
  const std::function<void()> call = [&] {
    kernel(*static_cast<Parameters*>(arguments[index])...);
  };
  body = &call;
  for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y) {
    for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x) RunBlock();
  }
}

}  // namespace cuda_on_cpu

template <typename... Parameters>
cudaError_t cudaLaunchKernel(void (*kernel)(Parameters...), dim3 blocks,
                             dim3 threads, void** arguments, size_t,
                             cudaStream_t) {
  gridDim = blocks;
  blockDim = threads;
  cuda_on_cpu::Run(kernel, arguments, std::index_sequence_for<Parameters...>());
  return cudaSuccess;
}

#endif  // TF_STYLE_TESTS_CUDA_ON_CPU_CUDA_RUNTIME_H_
