#define AUTOROUND_ISA avx512
#define AUTOROUND_LANES 16
#include "quant/row_kernels.hpp"
