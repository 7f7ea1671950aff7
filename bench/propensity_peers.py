#!/usr/bin/env python3
"""Propensities beside XGBoost: the same customers fitted, the same held out, the area under the ROC curve of both.

    bench/propensity_peers.py [--coterie build/release/coterie] [--shared ../shared] [--seeds 5]

A logistic regression sees straight lines only, so boosted trees may rank better; this says by how much on two public
churn tables. Each seed holds another fifth of the customers out. XGBoost gets the same columns with text as one indicator per
level, 200 trees of depth 4 at a learning rate of 0.05. Needs numpy, pandas, anndata and xgboost (`pip install xgboost-cpu`).
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import anndata
import numpy as np
import xgboost

from provenance import provenance, versions

TABLES = {"telco": ("telco_churn/Telco-Customer-Churn.csv", ["--id", "customerID", "--outcome", "Churn=Yes"], "Churn"),
          "mlc_churn": ("mlc_churn/mlc_churn.csv", ["--outcome", "churn=yes"], "churn")}
TREES = {"n_estimators": 200, "max_depth": 4, "learning_rate": 0.05, "eval_metric": "logloss", "n_jobs": 2, "random_state": 1}


def area_under_roc(outcome, score):
    order = np.argsort(score, kind="stable")
    _, first, counts = np.unique(score[order], return_index=True, return_counts=True)
    ranks = np.empty(len(score))
    ranks[order] = np.repeat(first + (counts + 1) / 2, counts)
    positives = outcome.sum()
    return (ranks[outcome].sum() - positives * (positives + 1) / 2) / (positives * (~outcome).sum())


def compare(arguments, folder, name):
    path, options, target = TABLES[name]
    customers, result = folder / f"{name}.h5ad", folder / f"{name}.result.h5ad"
    subprocess.run([arguments.coterie, "import", arguments.shared / "data" / path, "-o", customers, *options], check=True,
                   capture_output=True)
    table = anndata.read_h5ad(customers)
    outcome = table.obs[target].to_numpy() == 1
    aucs = {"coterie": [], "xgboost": []}
    for seed in range(arguments.seeds):
        done = subprocess.run([arguments.coterie, "propensity", customers, "-o", result, "--overwrite", "--target", target, "--seed", str(seed),
                               "--json"], check=True, capture_output=True, text=True)
        held_out = (anndata.read_h5ad(result).obs["propensity_split"] == "held-out").to_numpy()
        trees = xgboost.XGBClassifier(**TREES).fit(table.X[~held_out], outcome[~held_out])
        aucs["coterie"].append(json.loads(done.stdout)["auc"])
        aucs["xgboost"].append(area_under_roc(outcome[held_out], trees.predict_proba(table.X[held_out])[:, 1]))
    difference = np.subtract(aucs["xgboost"], aucs["coterie"])
    return {"table": name, "customers": len(outcome), "auc_coterie": round(np.mean(aucs["coterie"]), 4),
            "auc_xgboost": round(np.mean(aucs["xgboost"]), 4), "difference": round(difference.mean(), 4),
            "difference_std": round(difference.std(ddof=1), 4)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    repository = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--coterie", type=pathlib.Path, default=repository / "build/release/coterie")
    parser.add_argument("--shared", type=pathlib.Path, default=repository.parent / "shared")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    origin = provenance()  # of what is measured, whatever happens to the tree meanwhile
    with tempfile.TemporaryDirectory() as folder:
        rows = [compare(arguments, pathlib.Path(folder), name) for name in TABLES]
    json.dump({**origin, "xgboost": xgboost.__version__, "versions": versions(["xgboost", "xgboost-cpu", "numpy", "scipy", "pandas", "anndata"]), "trees": TREES, "seeds": arguments.seeds, "results": rows}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
