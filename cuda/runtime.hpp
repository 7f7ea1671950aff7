// The runtime API, real or emulated. Include this instead of <cuda_runtime.h>.
#pragma once

#ifdef COTERIE_EMULATED
#include "cuda/emulated/runtime.hpp"
#else
#include <cuda_runtime.h>
#endif
