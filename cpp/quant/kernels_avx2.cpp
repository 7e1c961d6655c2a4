#define AUTOROUND_ISA avx2
#define AUTOROUND_LANES 8
#include "quant/row_kernels.hpp"
