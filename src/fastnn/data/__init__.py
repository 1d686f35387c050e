"""Data in and out of arrays: mini-batches, splitting, scaling, and loaders for IDX, CSV and NPZ files.

Everything is a plain `numpy.ndarray` with one row per sample on its first axis.
"""

from .arrays import one_hot, standardize, train_test_split
from .batches import Batches, batches
from .idx import load_idx, load_idx_folder
from .tables import Table, load_csv, load_digits, load_npz

__all__ = [
    "Batches",
    "Table",
    "batches",
    "load_csv",
    "load_digits",
    "load_idx",
    "load_idx_folder",
    "load_npz",
    "one_hot",
    "standardize",
    "train_test_split",
]
