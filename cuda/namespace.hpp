// The sources of this folder compile twice: as CUDA in coterie::gpu, and as host C++ in coterie::emulated, where fibers
// stand for CUDA threads (emulated/). A program links one of the two, never both.
#pragma once

#ifdef COTERIE_EMULATED
#define COTERIE_GPU emulated
#else
#define COTERIE_GPU gpu
#endif
