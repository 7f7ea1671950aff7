#!/usr/bin/python3
"""k-means beside its peers: the same rows, start, iterations and threads, one after another in turn.

    bench/kmeans_peers.py [--rounds 3] [--shapes 1000000x16x8,...] [--peers sklearn,sklearnex,faiss,superkmeans]
                          [--python VENV/bin/python] [--no-target] [--output FILE.json]

Prints nanoseconds per row and iteration (median over rounds) and the ratio peer / coterie taken round by round; then, once, the
seconds that each needs to come within a thousandth of our inertia after 20 iterations, over a few numbers of iterations. Our fit ends
with centers and inertia, as those of faiss and superkmeans do; scikit-learn's ends with the labels of all rows, so that it stands beside
a fit of ours that does so, too, and so do our seconds to an inertia. Every answer is checked: the inertia of a
peer may differ from ours by float32 rounding, that of faiss by its own way with empty clusters, and that of superkmeans, which
takes no start, is only recorded. scikit-learn comes from Debian (python3-sklearn with libopenblas0-pthread); peers that neither this interpreter nor the one of --python can import are left out, and said so.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from provenance import cpu, fair_environment, provenance, require_fast_blas, versions

SHAPES = "1000000x16x8,1000000x32x16,500000x64x64,200000x128x256,100000x128x1000"
MAX_ITER = 20
INERTIA_TOLERANCE = 1e-3  # relative; peers sum in float32 and may end one label apart
ITERATIONS_TO_TARGET = (4, 8, 12, 16, 20, 30)
WITH_LABELS = "coterie with labels"  # a fit that ends with the segment of every row


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


def inertia_of(rows, centers):
    import numpy as np

    centers = centers.astype(np.float64)
    total, squares = 0.0, (centers**2).sum(axis=1)
    for first in range(0, len(rows), 4096):
        x = rows[first : first + 4096].astype(np.float64)
        total += float(((x**2).sum(axis=1) + (squares - 2 * x @ centers.T).min(axis=1)).sum())
    return total


def fit_sklearn(rows, start, max_iter):
    from sklearn.cluster import KMeans

    model = KMeans(len(start), init=start, n_init=1, max_iter=max_iter, tol=0, algorithm="lloyd")
    begin = time.perf_counter()
    model.fit(rows)
    return time.perf_counter() - begin, model.n_iter_, float(model.inertia_)


def fit_sklearnex(rows, start, max_iter):
    from sklearnex import patch_sklearn

    patch_sklearn(verbose=False)
    return fit_sklearn(rows, start, max_iter)


def fit_faiss(rows, start, max_iter):
    import faiss

    engine = faiss.Kmeans(rows.shape[1], len(start), niter=max_iter, max_points_per_centroid=len(rows), min_points_per_centroid=1)
    begin = time.perf_counter()
    engine.train(rows, init_centroids=start)
    return time.perf_counter() - begin, max_iter, inertia_of(rows, engine.centroids)


def fit_superkmeans(rows, start, max_iter):
    import numpy as np
    import superkmeans

    threads = int(os.environ["OMP_NUM_THREADS"])
    engine = superkmeans.SuperKMeans(len(start), rows.shape[1], hierarchical=False, iters=max_iter, sampling_fraction=1.0,
                                     max_points_per_cluster=len(rows), n_threads=threads, early_termination=False)
    begin = time.perf_counter()
    centers = engine.train(np.ascontiguousarray(rows))
    return time.perf_counter() - begin, max_iter, inertia_of(rows, centers)


WORKERS = {"sklearn": fit_sklearn, "sklearnex": fit_sklearnex, "faiss": fit_faiss, "superkmeans": fit_superkmeans}
FITS_WITH_LABELS = ("sklearn", "sklearnex")
PACKAGES = {"sklearn": ["scikit-learn", "numpy", "scipy"], "sklearnex": ["scikit-learn-intelex", "scikit-learn", "numpy"],
            "faiss": ["faiss-cpu", "numpy"], "superkmeans": ["superkmeans", "numpy"]}
# Relative. faiss splits the largest cluster where we move a center to the farthest row; superkmeans takes no start.
TOLERANCES = {"faiss": 1e-2, "superkmeans": float("inf")}


def run_peer(python, peer, path, max_iter, environment):
    command = [python, __file__, "--worker", peer, path, str(max_iter)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_coterie(binary, path, k, max_iter, threads, output=None):
    """output: a file for the labels, which its fit ends with then."""
    command = [binary, "sweep", path, "--x", "/X", "--k", str(k), "--init", f"{path}:/start", "--n-init", "1", "--max-iter", str(max_iter),
               "--tol", "0", "--transform", "none", "--device", "cpu", "--threads", str(threads), "--json"]
    if output:
        command += ["-o", output, "--overwrite"]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return answer["seconds"]["fit"], answer["sweep"][0]["n_iter"], answer["sweep"][0]["inertia"]


def interpreter_of(peer, candidates):
    for python in candidates:
        if subprocess.run([python, "-c", f"import {peer}"], capture_output=True, check=False).returncode == 0:
            return python
    return None


def engines_of(path, k, peers, options, folder):
    output = os.path.join(folder, "labels.h5ad")
    engines = {"coterie": lambda max_iter: run_coterie(options.coterie, path, k, max_iter, options.threads),
               WITH_LABELS: lambda max_iter: run_coterie(options.coterie, path, k, max_iter, options.threads, output)}
    for peer, python in peers.items():
        engines[peer] = lambda max_iter, peer=peer, python=python: run_peer(python, peer, path, max_iter, fair_environment(options.threads))
    return engines


def seconds_to(target, engine):
    for max_iter in ITERATIONS_TO_TARGET:
        seconds, n_iter, inertia = engine(max_iter)
        if inertia <= target:
            return {"seconds": seconds, "iterations": n_iter}
        if n_iter < max_iter:
            break
    return None


def measure(shape, peers, options, folder):
    n, d, k = (int(number) for number in shape.split("x"))
    path = os.path.join(folder, "rows.h5")
    make_rows(path, n, d, k)
    engines = engines_of(path, k, peers, options, folder)
    times, inertias = {name: [] for name in engines}, {}
    for _ in range(options.rounds):
        for name, engine in engines.items():
            seconds, n_iter, inertias[name] = engine(MAX_ITER)
            times[name].append(seconds / n_iter / n * 1e9)
            tolerance = TOLERANCES.get(name, INERTIA_TOLERANCE)
            if abs(inertias[name] - inertias["coterie"]) > tolerance * inertias["coterie"]:
                raise SystemExit(f"{name} at {shape}: inertia {inertias[name]} against our {inertias['coterie']}: not the same work")
    result = {"shape": shape, "ns_per_row": {name: statistics.median(values) for name, values in times.items()}}
    ours = {peer: times[WITH_LABELS if peer in FITS_WITH_LABELS else "coterie"] for peer in peers}
    result["ratio"] = {peer: statistics.median(p / c for p, c in zip(times[peer], ours[peer])) for peer in peers}
    result["inertia"] = inertias
    if not options.no_target:
        target = inertias["coterie"] * (1 + INERTIA_TOLERANCE)
        ours = {"coterie": engines[WITH_LABELS]}
        result["to_target"] = {name: seconds_to(target, engine) for name, engine in {**ours, **{peer: engines[peer] for peer in peers}}.items()}
    return result


def describe(row):
    print(f"{row['shape']:>18}  " + "  ".join(f"{name} {value:.1f}" for name, value in row["ns_per_row"].items()) + "  |  "
          + "  ".join(f"{peer} / coterie {ratio:.2f}" for peer, ratio in row["ratio"].items()), flush=True)
    for name, reached in row.get("to_target", {}).items():
        words = "not reached" if reached is None else f"{reached['seconds']:.2f} s, {reached['iterations']} iterations"
        print(f"{'to our inertia':>18}  {name}: {words}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coterie", default=os.path.join(os.path.dirname(__file__), "..", "build", "release", "coterie"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--shapes", default=SHAPES)
    parser.add_argument("--peers", default=",".join(WORKERS))
    parser.add_argument("--python", help="another interpreter to look for peers in")
    parser.add_argument("--no-target", action="store_true", help="leave out the time to a given inertia")
    parser.add_argument("--output")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        peer, path, max_iter = options.worker
        print(json.dumps(WORKERS[peer](*load(path), int(max_iter))))
        return
    origin = provenance()  # of what is measured, whatever happens to the tree meanwhile
    candidates = [sys.executable] + ([options.python] if options.python else [])
    wanted = [peer for peer in options.peers.split(",") if peer]
    peers = {peer: python for peer in wanted if (python := interpreter_of(peer, candidates))}
    for python in {peers[peer] for peer in FITS_WITH_LABELS if peer in peers}:
        require_fast_blas(python)
    for peer in wanted:
        if peer not in peers:
            print(f"{peer}: not importable here, left out")
    results = []
    print(f"{cpu('model name')}, {options.threads} threads; ns per row and iteration, median of {options.rounds} rounds")
    with tempfile.TemporaryDirectory() as folder:
        for shape in options.shapes.split(","):
            results.append(measure(shape, peers, options, folder))
            describe(results[-1])
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump({**origin, "versions": {peer: versions(PACKAGES[peer], python) for peer, python in peers.items()},
                       "openblas_coretype": fair_environment(options.threads)["OPENBLAS_CORETYPE"], "threads": options.threads,
                       "rounds": options.rounds, "max_iter": MAX_ITER, "results": results}, file, indent=1)


if __name__ == "__main__":
    main()
