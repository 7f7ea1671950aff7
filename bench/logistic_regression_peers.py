#!/usr/bin/python3
"""Logistic regressions beside scikit-learn: the same rows, penalty (L2, C = 1) and threads, one after another in turn.

    bench/logistic_regression_peers.py [--bench build/release/bench/logistic_regression_bench] [--rounds 3] [--shapes 1000000x16,...] [--output FILE]

Times whole fits. scikit-learn's newton-cholesky runs to a gradient as small as ours; its lbfgs, which stops before it gets
there, runs to its own end with tol 1e-12, and its gradient is printed. The answer is checked: log-losses must agree to 1e-6.
Prints seconds (median over rounds) and the ratio scikit-learn / coterie taken round by round, by the clock and by
processor time, which a busy machine disturbs less, and the price of four outcomes in the same sweeps over one.
scikit-learn comes from Debian (python3-sklearn with libopenblas0-pthread).
"""
import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

SHAPES = "1000000x16,500000x64,100000x128"
THREADS = 2  # of the bench
LOSS_TOLERANCE = 1e-6  # relative
SOLVERS = {"newton-cholesky": 1e-6, "lbfgs": 1e-12}  # and their tol


def fair_environment():
    # Debian's OpenBLAS does not know every processor; unnamed, it may fall back to a kernel without AVX.
    with open("/proc/cpuinfo", encoding="ascii") as info:
        core = "SkylakeX" if "avx512f" in info.read() else "Haswell"
    limits = {name: str(THREADS) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    return {**os.environ, "OPENBLAS_CORETYPE": core, **limits}


def processor():
    with open("/proc/cpuinfo", encoding="ascii") as info:
        return re.search(r"model name\s*: (.*)", info.read()).group(1)


def loss_and_gradient(rows, outcome, coefficients, intercept):
    """Objective of scikit-learn and the largest absolute entry of its gradient."""
    import numpy as np

    eta = rows @ coefficients + intercept
    error = 1 / (1 + np.exp(-eta)) - outcome
    loss = float(np.sum(np.logaddexp(0, eta) - outcome * eta) + coefficients @ coefficients / 2)
    return loss, float(max(np.max(np.abs(rows.T @ error + coefficients)), abs(error.sum())))


def time_sklearn(rows, outcome, solver, tol):
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(solver=solver, tol=tol, max_iter=1000)
    started, used = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows, outcome)
    seconds, processor = time.perf_counter() - started, time.process_time() - used
    return seconds, processor, loss_and_gradient(rows, outcome, model.coef_[0], model.intercept_[0])


def time_coterie(bench, folder, n, d, targets, inference=0):
    name = f"rows:{n}/columns:{d}/targets:{targets}/inference:{inference}/"
    command = [bench, f"--benchmark_filter={name}", "--benchmark_format=json", "--benchmark_min_time=0.5"]
    output = subprocess.run(command, env={**os.environ, "COTERIE_BENCH_ROWS": folder}, check=True, capture_output=True).stdout
    result = json.loads(output)["benchmarks"][0]
    if "error_message" in result:
        sys.exit(f"{name} {result['error_message']}")
    return {"seconds": result["real_time"] / 1e3, "cpu": result["cpu_time"] / 1e3, "gradient": result["gradient"], "loss": result["loss"]}


def compare(arguments, folder, n, d):
    import numpy as np

    lines = []
    for _ in range(arguments.rounds):
        ours, four = (time_coterie(arguments.bench, folder, n, d, targets) for targets in (1, 4))
        full = time_coterie(arguments.bench, folder, n, d, 1, 1)
        rows = np.fromfile(f"{folder}/{n}x{d}.f32", np.float32).reshape(n, d).astype(np.float64)
        outcome = np.fromfile(f"{folder}/{n}x{d}.i8", np.int8).reshape(n, 4)[:, 0].astype(np.float64)
        line = {"coterie seconds": ours["seconds"], "gradient": ours["gradient"], "with standard errors": full["seconds"]}
        for solver, tol in SOLVERS.items():
            seconds, processor, (loss, gradient) = time_sklearn(rows, outcome, solver, tol)
            if abs(loss - ours["loss"]) > LOSS_TOLERANCE * loss:
                sys.exit(f"{n}x{d}: {solver} ends at {loss}, coterie at {ours['loss']}")
            line |= {f"{solver} seconds": seconds, f"{solver} ratio": seconds / ours["seconds"], f"{solver} cpu ratio": processor / ours["cpu"],
                     f"{solver} gradient": gradient}
        line |= {"four over one": four["seconds"] / ours["seconds"], "four over one cpu": four["cpu"] / ours["cpu"]}
        lines.append(line)
    return {key: statistics.median(line[key] for line in lines) for key in lines[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="build/release/bench/logistic_regression_bench")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shapes", default=SHAPES)
    parser.add_argument("--output")
    arguments = parser.parse_args()
    if os.environ.get("OPENBLAS_CORETYPE") is None:  # OpenBLAS reads it when it is loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], fair_environment())
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for shape in arguments.shapes.split(","):
            results.append({"shape": shape} | compare(arguments, folder, *map(int, shape.split("x"))))
            print("\n".join(f"{key:28}{value if isinstance(value, str) else format(value, '12.4g')}" for key, value in results[-1].items()), flush=True)
    if arguments.output:
        with open(arguments.output, "w", encoding="utf-8") as file:
            json.dump({"cpu": processor(), "system": platform.platform(), "threads": THREADS, "rounds": arguments.rounds, "results": results},
                      file, indent=1)


if __name__ == "__main__":
    main()
