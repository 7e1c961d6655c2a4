// Which type the activations are computed in on this machine.
#pragma once

#include <c10/core/ScalarType.h>

namespace autoround::model {

/// bf16 where the CPU multiplies bf16 in hardware, fp32 elsewhere (bf16 without it is 4 to 80 times slower).
/// The variables that limit LibTorch and oneDNN, ATEN_CPU_CAPABILITY and ONEDNN_MAX_CPU_ISA, are honoured.
at::ScalarType preferred_compute_type();

/// The rule behind it; a limit is the variable's value, null when it is not set.
at::ScalarType compute_type(bool bf16_instructions, const char* aten_limit, const char* onednn_limit);

}  // namespace autoround::model
