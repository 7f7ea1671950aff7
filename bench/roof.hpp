// What this machine can do at best, measured once per process with all threads: streaming reads and float32
// subtract-and-multiply-add. Benches state their rates as a share of it.
#pragma once

namespace coterie::bench {

struct Roof {
  double bytes_per_second;
  double flops_per_second;  // float32, one subtraction and one fused multiply-add counted as three
};

const Roof& roof();

// The least time for one row that moves `bytes` and computes `flops`: the slower of the two.
double seconds_per_row(double bytes, double flops);

}  // namespace coterie::bench
