// TensorFlow's threads as the kernels' workers.

#ifndef TF_STYLE_KERNELS_TENSORFLOW_WORKERS_H_
#define TF_STYLE_KERNELS_TENSORFLOW_WORKERS_H_

#include <algorithm>
#include <cstdint>

#include "common.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/platform/threadpool.h"

namespace tf_style {

// One worker for each thread of TensorFlow's pool, or fewer for few
// multiplications.
inline Workers MakeWorkers(tensorflow::OpKernelContext* context,
                           int64_t multiplications) {
  using tensorflow::thread::ThreadPool;
  // Multiplications that are worth another thread.
  constexpr int64_t kWorkPerThread = 1 << 18;
  ThreadPool* pool =
      context->device()->tensorflow_cpu_worker_threads()->workers;
  const int num_workers = static_cast<int>(std::min<int64_t>(
      pool->NumThreads(), 1 + multiplications / kWorkPerThread));
  return {num_workers, [=](const std::function<void(int)>& body) {
            pool->ParallelFor(num_workers,
                              ThreadPool::SchedulingParams::Fixed(1),
                              [&](int64_t first, int64_t last) {
                                for (int64_t i = first; i < last; ++i) body(i);
                              });
          }};
}

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_TENSORFLOW_WORKERS_H_
