"""Writes small input files with the programs that users have: make_inputs.py FOLDER.

X[i, j] = 10 i + j in every file; six customers, three features.
"""
import pathlib
import sys
import warnings

import anndata
import h5py
import numpy as np
import pandas as pd

X = 10.0 * np.arange(6)[:, None] + np.arange(3)[None, :]
OBS = pd.DataFrame(
    {
        "spend": np.array([1.5, np.nan, 3, 4, 5, 6]),
        "visits": np.arange(6),
        "member": np.array([True, False, True, True, False, False]),
        "region": pd.Categorical(["south", None, "north", "south", "north", "south"], categories=["south", "north"], ordered=True),
        "grade": pd.Categorical([3, 1, 3, 1, 2, 2]),
        "children": pd.array([0, None, 2, 1, 0, None], dtype="Int64"),
        "newsletter": pd.array([True, None, False, True, True, False], dtype="boolean"),
    },
    index=pd.Index(["Müller", "b", "c", "d", "e", "f"], name="customer"),
)
VAR = pd.DataFrame({"role": pd.Categorical(["active", "profile", "active"]), "weight": [1.0, 2.0, np.nan]}, index=["größe", "b", "c"])


def table(x):
    return anndata.AnnData(x, obs=OBS, var=VAR, dtype=x.dtype)


def write_anndata(folder):
    table(X.astype("f4")).write_h5ad(folder / "plain.h5ad")
    table(X).write_h5ad(folder / "wide.h5ad")
    table(X.astype("f4")).write_h5ad(folder / "gzip.h5ad", compression="gzip")
    from scipy.sparse import csr_matrix

    table(csr_matrix(X.astype("f4"))).write_h5ad(folder / "sparse.h5ad")


def write_newer_encodings(folder):
    """nullable-string-array, which the anndata of this machine does not write yet."""
    table(X.astype("f4")).write_h5ad(folder / "nullable_text.h5ad")
    with h5py.File(folder / "nullable_text.h5ad", "a") as f:
        group = f["obs"].create_group("city")
        group.attrs.update({"encoding-type": "nullable-string-array", "encoding-version": "0.1.0"})
        group["values"] = np.array(["Rom", "", "Oslo", "Rom", "Bern", "Rom"], dtype=h5py.string_dtype())
        group["mask"] = np.array([False, True, False, False, False, False])
        f["obs"].attrs["column-order"] = [*f["obs"].attrs["column-order"], "city"]


def write_older_encodings(folder):
    """Categories beside the frame and no marks, as anndata 0.7 wrote; records, as 0.6 did."""
    with h5py.File(folder / "older.h5ad", "w") as f:
        f["X"] = X.astype("f4")
        f["obs/index"] = np.array(list("abcdef"), dtype=h5py.string_dtype())
        f["obs/region"] = np.array([0, -1, 1, 0, 1, 0], dtype="i1")
        f["obs/__categories/region"] = np.array(["south", "north"], dtype=h5py.string_dtype())
        f["obs/region"].attrs["categories"] = f["obs/__categories/region"].ref
        f["obs"].attrs.update({"_index": "index", "column-order": ["region"]})
        f["var/index"] = np.array(list("abc"), dtype=h5py.string_dtype())
        f["var"].attrs["_index"] = "index"
    with h5py.File(folder / "records.h5ad", "w") as f:
        f["X"] = X.astype("f4")
        f["obs"] = np.zeros(6, dtype=[("index", "S4"), ("spend", "f8")])
        f["var"] = np.zeros(3, dtype=[("index", "S4")])


def write_plain(folder):
    with h5py.File(folder / "h5py.h5", "w", libver="latest", userblock_size=512) as f:
        f.create_dataset("features", data=X.astype(">f8"), chunks=(2, 2), compression="gzip", shuffle=True, fletcher32=True)
        f["features"].attrs["columns"] = ["größe", "b", "c"]
        f["customer_id"] = np.arange(100, 106)
        f["visits"] = np.arange(6)
        f["region"] = np.array([b"south", b"north"] * 3)  # fixed length
    with h5py.File(folder / "lzf.h5", "w") as f:
        f.create_dataset("X", data=X, compression="lzf")


def write_others(folder):
    frame = pd.DataFrame(X, columns=list("abc"))
    frame.to_hdf(folder / "store.h5", "customers")
    frame.to_hdf(folder / "store_table.h5", "customers", format="table")
    with h5py.File(folder / "records.h5", "w") as f:
        f["customers"] = frame.to_records(index=False)
    with h5py.File(folder / "mudata.h5mu", "w") as f:
        f.attrs["encoding-type"] = "MuData"
        f.create_group("mod/rna")
    with h5py.File(folder / "vaex.hdf5", "w") as f:
        f["table/columns/a/data"] = X[:, 0]
    with h5py.File(folder / "matlab.mat", "w", userblock_size=512) as f:
        f["customers"] = X.T
        f["customers"].attrs["MATLAB_class"] = np.bytes_("double")
    with h5py.File(folder / "genes.h5", "w") as f:
        f["matrix/data"], f["matrix/indices"], f["matrix/indptr"] = np.ones(1), np.zeros(1, "i8"), np.array([0, 1])


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    target = pathlib.Path(sys.argv[1])
    for write in (write_anndata, write_newer_encodings, write_older_encodings, write_plain, write_others):
        write(target)
