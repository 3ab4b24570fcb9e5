// Which of the processor's vector instructions the kernels use.

#ifndef TF_STYLE_KERNELS_INSTRUCTION_SET_H_
#define TF_STYLE_KERNELS_INSTRUCTION_SET_H_

namespace tf_style {

enum class InstructionSet { kPortable, kAvx2, kAvx512, kAvx512Bf16 };

// The best that the processor has, or what TF_STYLE_MAX_ISA limits it to.
InstructionSet CurrentInstructionSet();

// "portable", "avx2", "avx512" or "avx512bf16".
const char* Name(InstructionSet instruction_set);

}  // namespace tf_style

#endif  // TF_STYLE_KERNELS_INSTRUCTION_SET_H_
