#!/usr/bin/env python3
"""One iteration of k-means (labels, then means) by other libraries on the GPU, for the shapes on stdin, one JSON object a line.

Rows are float32 on the device, as ours; what a peer converts first is not timed. `torch` and `cupy` are the plain loops a user would
write: products in full float32, argmin, means. `flash-kmeans` takes half precision, its own fast path, and its labels are not exact.
Needs torch and triton, or cupy; a peer that is not installed is named. Usage: gpu_peers.py SECONDS < shapes
"""

import json
import statistics
import sys
import time

CHUNK_CELLS = 1 << 28  # of the matrix of distances that a plain loop makes


def torch_loop(torch):
    torch.backends.cuda.matmul.allow_tf32 = False

    def iterate(x, centers):
        k, d = centers.shape
        sums = torch.zeros(k, d, device=x.device)
        counts = torch.zeros(k, device=x.device)
        half_squares = (centers * centers).sum(1) / 2
        step = max(1, CHUNK_CELLS // k)
        for first in range(0, len(x), step):
            rows = x[first:first + step]
            label = torch.addmm(half_squares, rows, centers.T, alpha=-1).argmin(1)
            sums.index_add_(0, label, rows)
            counts += torch.bincount(label, minlength=k)
        return torch.where(counts[:, None] > 0, sums / counts[:, None], centers)

    return iterate, lambda rows, columns: torch.randn(rows, columns, device="cuda"), torch.cuda.synchronize


def cupy_loop(cupy):
    def iterate(x, centers):
        k, d = centers.shape
        sums = cupy.zeros((k, d), cupy.float32)
        counts = cupy.zeros(k, cupy.float32)
        half_squares = (centers * centers).sum(1) / 2
        step = max(1, CHUNK_CELLS // k)
        for first in range(0, len(x), step):
            rows = x[first:first + step]
            label = (half_squares - rows @ centers.T).argmin(1)
            cupy.add.at(sums, label, rows)
            counts += cupy.bincount(label, minlength=k)
        return cupy.where(counts[:, None] > 0, sums / counts[:, None], centers)

    generator = cupy.random.default_rng(1)
    return iterate, lambda rows, columns: generator.standard_normal((rows, columns), dtype=cupy.float32), cupy.cuda.runtime.deviceSynchronize


def flash_loop(torch):
    from flash_kmeans import batch_kmeans_Euclid

    def iterate(x, centers):  # two iterations less one would need its internals: ten, divided
        batch_kmeans_Euclid(x, centers.shape[0], max_iters=10, tol=-1.0, init_centroids=centers[None].clone())
        return centers

    return iterate, lambda rows, columns: torch.randn(1, rows, columns, device="cuda", dtype=torch.float16), torch.cuda.synchronize


def peers():
    """(name, loop, iterations per call) of what is installed here."""
    for name, module, make, iterations in (("torch", "torch", torch_loop, 1), ("cupy", "cupy", cupy_loop, 1), ("flash-kmeans", "torch", flash_loop, 10)):
        try:
            yield name, make(__import__(module)), iterations
        except ImportError as missing:
            print(json.dumps({"peer": name, "left out": f"{missing.name} is not installed here"}), flush=True)


def measure(name, loop, iterations, shape):
    iterate, make_rows, synchronize = loop
    x = make_rows(shape["rows"], shape["columns"])
    centers = (x[0] if name == "flash-kmeans" else x)[:shape["clusters"]]
    seconds = []
    for repeat in range(-2, 3):  # two to warm up
        synchronize()
        start = time.perf_counter()
        iterate(x, centers)
        synchronize()
        if repeat >= 0:
            seconds.append((time.perf_counter() - start) / iterations)
    return statistics.median(seconds)


def main():
    deadline = time.monotonic() + float(sys.argv[1])
    shapes = [json.loads(line) for line in sys.stdin if line.strip()]
    for name, loop, iterations in peers():
        for shape in shapes:
            if time.monotonic() > deadline:
                print(json.dumps({"peer": name, **shape, "left out": "no time"}), flush=True)
                continue
            try:
                print(json.dumps({"peer": name, **shape, "seconds": measure(name, loop, iterations, shape)}), flush=True)
            except Exception as error:  # a peer that fails at one shape is a result too
                print(json.dumps({"peer": name, **shape, "left out": f"{type(error).__name__}: {str(error)[:120]}"}), flush=True)


if __name__ == "__main__":
    main()
