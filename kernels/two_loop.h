// The two halves of L-BFGS's two-loop recursion, on plain pointers: no
// TensorFlow here. Each pair of a step s and a gradient difference y takes one
// pass over memory: the sum for the next pair is taken where this one's product
// has just been added.
//
// Reference: Nocedal and Wright, "Numerical Optimization", 2nd edition,
// algorithm 7.4.

#ifndef TF_STYLE_KERNELS_TWO_LOOP_H_
#define TF_STYLE_KERNELS_TWO_LOOP_H_

#include <cstdint>
#include <vector>

#include "common.h"

namespace tf_style {

// Pairs of one minimisation, oldest first, each vector of `size` elements.
struct Pairs {
  int64_t size;
  Element element;
  std::vector<const void*> steps;
  std::vector<const void*> differences;
  std::vector<float> curvatures;  // y.s; 0 where there is no pair
};

// For each pair, newest first: alpha = s.q / y.s; q -= alpha y. The result has
// the same bits whatever the number of workers, here and below.
void FirstLoop(const Pairs& pairs, const Workers& workers, float* q,
               float* alphas);

// For each pair, oldest first: q += (alpha - y.q / y.s) s.
void SecondLoop(const Pairs& pairs, const float* alphas, const Workers& workers,
                float* q);

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_TWO_LOOP_H_
