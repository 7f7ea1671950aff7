#!/usr/bin/env python3
"""One iteration of k-means (labels, then means) by other libraries on the GPU, for the shapes on stdin, one JSON object a line.

Rows and start are those of gpu_bench, made by the same generator (gpu_rows.cuh), float32 on the device; what a peer converts first is not
timed. `torch` and `cupy` are the plain loops a user would write: products in full float32, argmin, means. `flash-kmeans` takes half
precision, its own fast path, and its labels are not exact. The centers of one iteration are checked: on average they lie within
ERROR of those that torch finds, in units of the noise of rows. Needs torch, and triton or cupy; a peer that is not installed is named.
Usage: gpu_peers.py SECONDS < shapes
"""

import json
import statistics
import sys
import time

CHUNK_CELLS = 1 << 28  # of the matrix of distances that a plain loop makes
MADE_CELLS = 1 << 25   # at a time
STEP = 2.0 ** -21      # of the grid of cells
START_EVERY = 7919     # rows from one start center to the next
ERROR = 0.02           # a few rows of a cluster change sides in half precision


def signed(value):
    return value - (1 << 64) if value >> 63 else value


def mix(torch, z):
    """mix64 of gpu_rows.cuh on int64, which wraps as uint64 does but for shifts to the right."""
    def down(value, bits):
        return (value >> bits) & ((1 << (64 - bits)) - 1)

    z = z + signed(0x9E3779B97F4A7C15)
    z = (z ^ down(z, 30)) * signed(0xBF58476D1CE4E5B9)
    z = (z ^ down(z, 27)) * signed(0x94D049BB133111EB)
    return z ^ down(z, 31)


def make_cells(torch, rows, columns, device="cuda"):
    """make_cell of gpu_rows.cuh: (len(rows), columns) for an int64 tensor of row numbers."""
    column = torch.arange(columns, device=device)
    blob = mix(torch, rows) & 15

    def part(seed):  # 22 bits, centered
        return ((mix(torch, seed) >> 42) & ((1 << 22) - 1)) - (1 << 21)

    center = part(blob[:, None] * 65536 + column)
    return ((center + part(rows[:, None] * 65536 + column + (1 << 62))).double() * STEP).float()


def make_rows(torch, shape):
    x = torch.empty(shape["rows"], shape["columns"], device="cuda")
    step = max(1, MADE_CELLS // shape["columns"])
    for first in range(0, shape["rows"], step):
        rows = torch.arange(first, min(first + step, shape["rows"]), device="cuda")
        x[first:first + step] = make_cells(torch, rows, shape["columns"])
    return x, make_cells(torch, torch.arange(shape["clusters"], device="cuda") * START_EVERY, shape["columns"])


class Torch:
    """iterate(rows, centers) -> new centers; `iterations` of them in a call of `run`."""

    iterations = 1

    def __init__(self, torch):
        self.torch = torch
        torch.backends.cuda.matmul.allow_tf32 = False

    def prepare(self, x, centers):
        return x, centers

    def iterate(self, x, centers):
        torch, (k, d) = self.torch, centers.shape
        sums, counts = torch.zeros(k, d, device=x.device), torch.zeros(k, device=x.device)
        half_squares = (centers * centers).sum(1) / 2
        step = max(1, CHUNK_CELLS // k)
        for first in range(0, len(x), step):
            rows = x[first:first + step]
            label = torch.addmm(half_squares, rows, centers.T, alpha=-1).argmin(1)
            sums.index_add_(0, label, rows)
            counts += torch.bincount(label, minlength=k)
        return torch.where(counts[:, None] > 0, sums / counts[:, None], centers)

    run = iterate


class Cupy:
    iterations = 1

    def __init__(self, torch):
        import cupy

        self.torch, self.cupy = torch, cupy

    def prepare(self, x, centers):
        return self.cupy.from_dlpack(x), self.cupy.from_dlpack(centers)

    def run(self, x, centers):
        cupy, (k, d) = self.cupy, centers.shape
        sums, counts = cupy.zeros((k, d), cupy.float32), cupy.zeros(k, cupy.float32)
        half_squares = (centers * centers).sum(1) / 2
        step = max(1, CHUNK_CELLS // k)
        for first in range(0, len(x), step):
            rows = x[first:first + step]
            label = (half_squares - rows @ centers.T).argmin(1)
            cupy.add.at(sums, label, rows)
            counts += cupy.bincount(label, minlength=k)
        return cupy.where(counts[:, None] > 0, sums / counts[:, None], centers)

    def iterate(self, x, centers):
        return self.torch.from_dlpack(self.run(x, centers))


class Flash:
    iterations = 10  # fewer would need its internals: ten, divided

    def __init__(self, torch):
        from flash_kmeans import batch_kmeans_Euclid

        self.torch, self.fit = torch, batch_kmeans_Euclid

    def prepare(self, x, centers):
        return x[None].half(), centers[None].half()

    def run(self, x, centers, iterations=iterations):
        return self.fit(x, centers.shape[1], max_iters=iterations, tol=-1.0, init_centroids=centers.clone())[1]

    def iterate(self, x, centers):
        return self.run(x, centers, 1)[0].float()


def peers(torch):
    for name, make in (("torch", Torch), ("cupy", Cupy), ("flash-kmeans", Flash)):
        try:
            yield name, make(torch)
        except ImportError as missing:
            print(json.dumps({"peer": name, "left out": f"{missing.name} is not installed here"}), flush=True)


def measure(torch, peer, x, start, expected):
    """Seconds of an iteration, and by how much its centers differ on average from those expected."""
    rows, centers = peer.prepare(x, start)
    seconds = []
    for repeat in range(-2, 3):  # two to warm up
        torch.cuda.synchronize()
        begin = time.perf_counter()
        peer.run(rows, centers)
        torch.cuda.synchronize()
        if repeat >= 0:
            seconds.append((time.perf_counter() - begin) / peer.iterations)
    return statistics.median(seconds), float((peer.iterate(rows, centers) - expected).abs().mean())


def main():
    deadline = time.monotonic() + float(sys.argv[1])
    shapes = [json.loads(line) for line in sys.stdin if line.strip()]
    try:
        import torch
    except ImportError:
        print(json.dumps({"peer": "all", "left out": "torch, which makes the rows, is not installed here"}), flush=True)
        return
    known = list(peers(torch))
    for shape in shapes:
        x = start = expected = None  # of the shape before, or both would have to fit
        for name, peer in known:
            line = {"peer": name, **shape}
            if time.monotonic() > deadline:
                print(json.dumps({**line, "left out": "no time"}), flush=True)
                continue
            try:
                if x is None:
                    x, start = make_rows(torch, shape)
                    expected = Torch(torch).iterate(x, start)
                seconds, error = measure(torch, peer, x, start, expected)
                print(json.dumps({**line, "stage": f"{name} k-means", "seconds": seconds, "error": error, "right": error < ERROR}), flush=True)
            except Exception as failure:  # a peer that fails at one shape is a result too
                print(json.dumps({**line, "left out": f"{type(failure).__name__}: {str(failure)[:120]}"}), flush=True)


if __name__ == "__main__":
    main()
