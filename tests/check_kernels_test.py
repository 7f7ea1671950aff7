"""tools/check_kernels notices what it is there to notice. Needs nvcc (CUDACXX)."""

import contextlib
import importlib.machinery
import importlib.util
import io
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.dont_write_bytecode = True

GOOD = """
__global__ void good_kernel(float* x) { x[threadIdx.x] += 1; }
"""
# Two hundred registers of values that are needed after a barrier, of 64 that there are.
SPILLS = """
__global__ void __launch_bounds__(1024) spilling_kernel(const double* in, double* out) {
  double values[100];
#pragma unroll
  for (int i = 0; i < 100; ++i) values[i] = in[i * 1024 + threadIdx.x];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 100; ++i) out[i * 1024 + threadIdx.x] = values[i] * values[(i + 37) % 100];
}
"""
LACKS = """
__global__ void add_rough_gram_kernel(float* x) { x[threadIdx.x] += 1; }
"""
FORBIDDEN = """
__global__ void comparing_kernel(unsigned long long* x) {
  __shared__ unsigned long long largest;
  largest = 0;
  __syncthreads();
  atomicMax(&largest, x[threadIdx.x]);
  __syncthreads();
  x[threadIdx.x] = largest;
}
"""


def load():
    loader = importlib.machinery.SourceFileLoader("check_kernels", str(ROOT / "tools" / "check_kernels"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_kernels", loader))
    loader.exec_module(module)
    return module


class CheckKernels(unittest.TestCase):
    def check(self, *kernels, with_nvdisasm=True):
        """Exit status and output."""
        checker = load()
        if not with_nvdisasm:
            checker.find_nvdisasm = lambda nvcc: None
        elif checker.find_nvdisasm(checker.find_nvcc()) is None:
            self.skipTest("no nvdisasm, and none could be fetched")
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "kernels.cu"
            source.write_text("".join(kernels))
            sys.argv = ["check_kernels", str(source)]
            with contextlib.redirect_stdout(io.StringIO()) as output:
                status = checker.main()
        return status, output.getvalue()

    def test_notices_what_no_kernel_may_do(self):
        status, output = self.check(GOOD, SPILLS, LACKS, FORBIDDEN)
        self.assertEqual(status, 1)
        for architecture in load().ARCHITECTURES:
            self.assertIn(f"spilling_kernel for {architecture} uses local memory", output)
            self.assertIn(f"spilling_kernel for {architecture} has local memory", output)
            self.assertIn(f"add_rough_gram_kernel for {architecture} lacks products on tensor cores", output)
            self.assertIn(f"comparing_kernel for {architecture} has sums in shared memory by compare and swap", output)
        self.assertNotIn("good_kernel for", output)

    def test_judges_registers_where_instructions_cannot_be_looked_at(self):
        status, output = self.check(GOOD, SPILLS, with_nvdisasm=False)
        self.assertEqual(status, 1)
        self.assertIn("spilling_kernel for sm_80 uses local memory", output)
        status, output = self.check(GOOD, LACKS, with_nvdisasm=False)
        self.assertEqual(status, 0)
        self.assertIn("registers: no kernel uses local memory\ninstructions: not looked at", output)

    def test_notices_names_that_no_kernel_has(self):
        checker = load()
        names = {name for table in (checker.WANTED, checker.WANTED_ON["sm_90a"]) for pattern in table for name in pattern.split("|")}
        names |= checker.EXCEPTIONS.keys()
        self.assertEqual(list(checker.unmatched(names, "sm_90a")), [])
        for name in ("predict_rows_kernel", "decide_rows_kernel", *checker.EXCEPTIONS):
            self.assertIn(f"no kernel for sm_90a is called {name}", list(checker.unmatched(names - {name}, "sm_90a")))
        self.assertEqual(list(checker.unmatched(names - {"decide_rows_kernel"}, "sm_80")), [])


if __name__ == "__main__":
    unittest.main()
