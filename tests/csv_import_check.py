"""An imported table as anndata reads it, against the CSV file as pandas reads it: csv_import_check.py CSV H5AD"""

import sys
import warnings

import anndata
import numpy as np
import pandas as pd

warnings.simplefilter("error")
warnings.filterwarnings("ignore", message="Transforming to str index")  # row numbers are integers
csv = pd.read_csv(sys.argv[1])
data = anndata.read_h5ad(sys.argv[2])

assert data.shape == (7043, 40) and data.X.dtype == np.float32, (data.shape, data.X.dtype)
x = pd.DataFrame(data.X, columns=data.var_names)
numbers = csv.select_dtypes("number").columns
texts = [name for name in csv.columns if name not in numbers and name != "churn"]
np.testing.assert_array_equal(x[numbers], csv[numbers].astype(np.float32))
dummies = pd.get_dummies(csv[texts], prefix_sep="=")
np.testing.assert_array_equal(x[dummies.columns], dummies)
assert set(x.columns) == set(numbers) | set(dummies.columns)

assert list(data.var["role"][numbers]) == ["active"] * len(numbers)
assert list(data.var["role"][dummies.columns]) == ["profile"] * len(dummies.columns)
assert list(data.var["onehot_of"][dummies.columns]) == [name.split("=")[0] for name in dummies.columns]
assert list(data.obs_names) == [str(row) for row in range(len(csv))]
for name in texts:
    assert list(data.obs[name]) == list(csv[name]), name
np.testing.assert_array_equal(data.obs["churn"], (csv["churn"] == "Yes").astype(float))
assert abs(data.obs["churn"].mean() - 0.26537) < 5e-6
assert list(data.uns["coterie"]["roles"]["outcomes"]) == ["churn"], data.uns["coterie"]["roles"]
