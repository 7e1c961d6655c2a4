#define AUTOROUND_ISA portable
#define AUTOROUND_LANES 4
#include "quant/row_kernels.hpp"
