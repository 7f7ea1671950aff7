#!/usr/bin/python3
"""The whole job on synthetic customers: file in, transform, k-means, labels and profiles out, stage by stage.

    bench/whole_job.py [--rows 2000000] [--features 32] [--n-clusters 8] [--memory 2G] [--output FILE.json]

Prints seconds, rows/s and GB/s (of float32 cells) of each stage and checks the answer: the sizes must add up, and a second run
with another thread count must give the same digest. Stages: read (open, survey, transform, moments), fit (all sweeps of
k-means), predict, write (profiles, columns, commit).
"""
import argparse
import json
import os
import platform
import subprocess
import tempfile
import time


def run(binary, *arguments):
    return subprocess.run([binary, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def job(options, folder, threads):
    begin = time.perf_counter()
    answer = json.loads(run(options.coterie, "cluster", os.path.join(folder, "customers.h5ad"), "-o", os.path.join(folder, "result.h5ad"),
                            "--overwrite", "--n-clusters", options.n_clusters, "--n-init", options.n_init, "--memory", options.memory,
                            "--threads", threads, "--device", options.device, "--json"))
    answer["seconds"]["whole process"] = time.perf_counter() - begin
    return answer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coterie", default=os.path.join(os.path.dirname(__file__), "..", "build", "release", "coterie"))
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--features", type=int, default=32)
    parser.add_argument("--n-clusters", type=int, default=8)
    parser.add_argument("--n-init", type=int, default=1)
    parser.add_argument("--memory", default="2G")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--output")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(options.coterie, "synth", "-o", os.path.join(folder, "customers.h5ad"), "--rows", options.rows, "--features", options.features,
            "--personas", options.n_clusters, "--seed", 1)
        answer = job(options, folder, options.threads)
        if sum(answer["sizes"]) != options.rows or answer["sha256"] != job(options, folder, options.threads + 1)["sha256"]:
            raise SystemExit("wrong answer: sizes do not add up, or the digest depends on the number of threads")
    print(f"{options.rows} x {options.features}, {options.n_clusters} segments, --memory {options.memory}, {options.threads} threads")
    for stage, seconds in answer["seconds"].items():
        print(f"{stage:>14}  {seconds:8.3f} s  {options.rows / seconds / 1e6:8.2f} M rows/s  {options.rows * options.features * 4e-9 / seconds:6.2f} GB/s")
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump({"system": platform.platform(), "options": vars(options), "answer": answer}, file, indent=1)


if __name__ == "__main__":
    main()
