// Which of the processor's vector instructions the kernels use, and the table
// of functions that is compiled for them.

#ifndef TF_STYLE_KERNELS_INSTRUCTION_SET_H_
#define TF_STYLE_KERNELS_INSTRUCTION_SET_H_

#include "common.h"

namespace tf_style {

enum class InstructionSet { kPortable, kAvx2, kAvx512, kAvx512Bf16 };

// The best that the processor has, or what TF_STYLE_MAX_ISA limits it to.
InstructionSet CurrentInstructionSet();

// "portable", "avx2", "avx512" or "avx512bf16".
const char* Name(InstructionSet instruction_set);

// The functions for one instruction set and element type. Each X_simd.cc is
// compiled once for every instruction set and defines the one for its own.
template <typename Kernels, InstructionSet instruction_set>
const Kernels& KernelsFor(Element element);

// Declares them, for a struct of function pointers.
#define TF_STYLE_DECLARE_KERNELS(Kernels)                                 \
  template <>                                                             \
  const Kernels& KernelsFor<Kernels, InstructionSet::kPortable>(Element); \
  template <>                                                             \
  const Kernels& KernelsFor<Kernels, InstructionSet::kAvx2>(Element);     \
  template <>                                                             \
  const Kernels& KernelsFor<Kernels, InstructionSet::kAvx512>(Element);   \
  template <>                                                             \
  const Kernels& KernelsFor<Kernels, InstructionSet::kAvx512Bf16>(Element)

// The functions for this processor.
template <typename Kernels>
const Kernels& CurrentKernels(Element element) {
  switch (CurrentInstructionSet()) {
#if defined(__x86_64__)
    case InstructionSet::kAvx2:
      return KernelsFor<Kernels, InstructionSet::kAvx2>(element);
    case InstructionSet::kAvx512:
      return KernelsFor<Kernels, InstructionSet::kAvx512>(element);
    case InstructionSet::kAvx512Bf16:
      return KernelsFor<Kernels, InstructionSet::kAvx512Bf16>(element);
#endif
    default:
      return KernelsFor<Kernels, InstructionSet::kPortable>(element);
  }
}

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_INSTRUCTION_SET_H_
