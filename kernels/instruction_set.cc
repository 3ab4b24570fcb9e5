#include "instruction_set.h"

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace tf_style {
namespace {

bool IsSupported(InstructionSet instruction_set) {
#if defined(__x86_64__)
  const bool has_avx512 =
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  switch (instruction_set) {
    case InstructionSet::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case InstructionSet::kAvx512:
      return has_avx512;
    case InstructionSet::kAvx512Bf16:
      return has_avx512 && __builtin_cpu_supports("avx512bf16");
    default:
      return true;
  }
#else
  return instruction_set == InstructionSet::kPortable;
#endif
}

InstructionSet Choose() {
  const char* limit = getenv("TF_STYLE_MAX_ISA");
  InstructionSet chosen = InstructionSet::kPortable;
  for (InstructionSet better : {InstructionSet::kAvx2, InstructionSet::kAvx512,
                                InstructionSet::kAvx512Bf16}) {
    if (limit != nullptr && strcmp(limit, Name(chosen)) == 0) break;
    if (!IsSupported(better)) break;
    chosen = better;
  }
  return chosen;
}

}  // namespace

InstructionSet CurrentInstructionSet() {
  static const InstructionSet current = Choose();
  return current;
}

const char* Name(InstructionSet instruction_set) {
  switch (instruction_set) {
    case InstructionSet::kAvx2:
      return "avx2";
    case InstructionSet::kAvx512:
      return "avx512";
    case InstructionSet::kAvx512Bf16:
      return "avx512bf16";
    default:
      return "portable";
  }
}

}  // namespace tf_style
