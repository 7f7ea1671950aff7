#!/usr/bin/python3
"""k-means beside its peers: the same rows, start, iterations and threads, one after another in turn.

    bench/kmeans_peers.py [--rounds 3] [--shapes 1000000x16x8,...] [--peers sklearn,sklearnex,faiss] [--output FILE.json]

Prints nanoseconds per row and iteration (median over rounds) and the ratio peer / coterie taken round by round. Every
answer is checked: the inertia of a peer may differ from ours by float32 rounding only. scikit-learn comes from Debian
(python3-sklearn with libopenblas0-pthread); scikit-learn-intelex and faiss-cpu are left out, and said so, unless the
interpreter can import them.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

SHAPES = "1000000x16x8,1000000x32x16,500000x64x64,200000x128x256,100000x128x1000"
MAX_ITER = 20
INERTIA_TOLERANCE = 1e-3  # relative; peers sum in float32 and may end one label apart


def cpu(field):
    with open("/proc/cpuinfo", encoding="ascii") as info:
        return next((line.split(":", 1)[1].strip() for line in info if line.startswith(field)), "")


def fair_environment(threads):
    # Debian's OpenBLAS does not know every processor; unnamed, it may fall back to a kernel without AVX.
    core = "SkylakeX" if "avx512f" in cpu("flags") else "Haswell"
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    return {**os.environ, "OPENBLAS_CORETYPE": core, **limits}


def make_rows(path, n, d, k):
    import h5py
    import numpy as np

    generator = np.random.default_rng(n + d + k)
    blobs = generator.normal(size=(max(2, k // 2), d)).astype(np.float32)
    rows = blobs[generator.integers(len(blobs), size=n)] + generator.standard_normal((n, d), dtype=np.float32)
    with h5py.File(path, "w") as file:
        file["X"] = rows
        file["start"] = rows[np.sort(generator.choice(n, k, replace=False))]


def load(path):
    import h5py

    with h5py.File(path) as file:
        return file["X"][:], file["start"][:]


def fit_sklearn(rows, start):
    from sklearn.cluster import KMeans

    model = KMeans(len(start), init=start, n_init=1, max_iter=MAX_ITER, tol=0, algorithm="lloyd")
    begin = time.perf_counter()
    model.fit(rows)
    return time.perf_counter() - begin, model.n_iter_, float(model.inertia_)


def fit_sklearnex(rows, start):
    from sklearnex import patch_sklearn

    patch_sklearn(verbose=False)
    return fit_sklearn(rows, start)


def fit_faiss(rows, start):
    import faiss
    import numpy as np

    engine = faiss.Kmeans(rows.shape[1], len(start), niter=MAX_ITER, max_points_per_centroid=len(rows), min_points_per_centroid=1)
    begin = time.perf_counter()
    engine.train(rows, init_centroids=start)
    seconds = time.perf_counter() - begin
    distances, _ = engine.index.search(rows, 1)
    return seconds, MAX_ITER, float(distances.sum(dtype=np.float64))


WORKERS = {"sklearn": fit_sklearn, "sklearnex": fit_sklearnex, "faiss": fit_faiss}


def run_peer(peer, path, environment):
    done = subprocess.run([sys.executable, __file__, "--worker", peer, path], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_coterie(binary, path, k, threads, folder):
    command = [binary, "cluster", path, "-o", os.path.join(folder, "result.h5ad"), "--overwrite", "--x", "/X", "--n-clusters", str(k), "--init",
               f"{path}:/start", "--n-init", "1", "--max-iter", str(MAX_ITER), "--tol", "0", "--transform", "none", "--device", "cpu",
               "--threads", str(threads), "--json"]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return answer["seconds"]["fit"], answer["n_iter"], answer["inertia"]


def available(peer):
    module = {"sklearn": "sklearn", "sklearnex": "sklearnex", "faiss": "faiss"}[peer]
    return subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


def measure(shape, peers, options, folder):
    n, d, k = (int(number) for number in shape.split("x"))
    path = os.path.join(folder, "rows.h5")
    make_rows(path, n, d, k)
    times = {name: [] for name in ["coterie", *peers]}
    for _ in range(options.rounds):
        seconds, n_iter, inertia = run_coterie(options.coterie, path, k, options.threads, folder)
        times["coterie"].append(seconds / n_iter / n * 1e9)
        for peer in peers:
            seconds, n_iter, other = run_peer(peer, path, fair_environment(options.threads))
            if abs(other - inertia) > INERTIA_TOLERANCE * inertia:
                raise SystemExit(f"{peer} at {shape}: inertia {other} against our {inertia}: not the same work")
            times[peer].append(seconds / n_iter / n * 1e9)
    ratios = {peer: statistics.median(p / c for p, c in zip(times[peer], times["coterie"])) for peer in peers}
    return {"shape": shape, "ns_per_row": {name: statistics.median(values) for name, values in times.items()}, "ratio": ratios}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coterie", default=os.path.join(os.path.dirname(__file__), "..", "build", "release", "coterie"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--shapes", default=SHAPES)
    parser.add_argument("--peers", default="sklearn,sklearnex,faiss")
    parser.add_argument("--output")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(WORKERS[options.worker[0]](*load(options.worker[1]))))
        return
    peers = [peer for peer in options.peers.split(",") if available(peer)]
    for peer in set(options.peers.split(",")) - set(peers):
        print(f"{peer}: not importable here, left out")
    results = []
    print(f"{cpu('model name')}, {options.threads} threads; ns per row and iteration, median of {options.rounds} rounds")
    with tempfile.TemporaryDirectory() as folder:
        for shape in options.shapes.split(","):
            results.append(measure(shape, peers, options, folder))
            row = results[-1]
            print(f"{shape:>18}  " + "  ".join(f"{name} {value:.1f}" for name, value in row["ns_per_row"].items()) + "  |  "
                  + "  ".join(f"{peer} / coterie {ratio:.2f}" for peer, ratio in row["ratio"].items()), flush=True)
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump({"cpu": cpu("model name"), "system": platform.platform(), "threads": options.threads, "rounds": options.rounds,
                       "max_iter": MAX_ITER, "results": results}, file, indent=1)


if __name__ == "__main__":
    main()
