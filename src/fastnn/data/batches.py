"""Mini-batches of arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..arguments import positive_int
from ..random import generator


class Batches:
    """What `batches` returns: iterate over it for the mini-batches, `len()` is their number."""

    def __init__(
        self,
        X: Any,
        Y: Any = None,
        batch_size: int = 32,
        shuffle: bool = False,
        rng: int | np.random.Generator | None = None,
        drop_last: bool = False,
    ) -> None:
        self.X = rows("batches", "X", X)
        self.Y = None if Y is None else rows("batches", "Y", Y)
        if self.Y is not None and len(self.Y) != len(self.X):
            raise ValueError(f"batches: expected X and Y of one length, got {len(self.X)} and {len(self.Y)} rows")
        self.batch_size = positive_int("batches", "batch_size", batch_size)
        self.shuffle = bool(shuffle)
        self.drop_last = bool(drop_last)
        self.rng = generator(rng)

    def __len__(self) -> int:
        whole, rest = divmod(len(self.X), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        order = self.rng.permutation(len(self.X)) if self.shuffle else None
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            chosen = slice(start, start + self.batch_size) if order is None else order[start : start + self.batch_size]
            x = _copy(self.X, chosen)
            yield x if self.Y is None else (x, _copy(self.Y, chosen))

    def __repr__(self) -> str:
        return f"Batches({len(self)} of {self.batch_size}, {len(self.X)} rows, shuffle={self.shuffle})"


def batches(
    X: Any,
    Y: Any = None,
    batch_size: int = 32,
    shuffle: bool = False,
    rng: int | np.random.Generator | None = None,
    drop_last: bool = False,
) -> Batches:
    """Iterate over mini-batches of X, or over pairs of mini-batches of X and Y.

    Parameters
    ----------
    X : array-like, shape (N, ...)
        Samples; a list, an array of any dtype, a read-only memory map.
    Y : array-like, shape (N, ...), optional
        Targets, one a sample.
    batch_size : int
        Rows of a batch; the last batch has the rest.
    shuffle : bool
        Whether every pass takes the rows in a new random order.
    rng : None, int or numpy.random.Generator
        Where the order comes from. The same seed gives the same order.
    drop_last : bool
        Whether to leave out a last batch of fewer than `batch_size` rows.

    Returns
    -------
    Batches
        An iterable with a length. It may be gone through again: each pass draws its own order. Every batch is a
        C-contiguous copy of its rows in the dtype of X, yours to change.

    Raises
    ------
    ValueError
        If X and Y have different lengths, or `batch_size` is less than 1.
    TypeError
        If `batch_size` is not an integer.

    Examples
    --------
    >>> from fastnn.data import batches
    >>> for x, y in batches([[1.0], [2.0], [3.0]], [0, 1, 0], batch_size=2):
    ...     print(x.shape, y)
    (2, 1) [0 1]
    (1, 1) [0]
    >>> len(batches(range(10), batch_size=4, drop_last=True))
    2
    """
    return Batches(X, Y, batch_size, shuffle, rng, drop_last)


def rows(where: str, name: str, array: Any) -> np.ndarray:
    """`array` as a NumPy array that has a first axis; nothing is copied where it already is one."""
    result: np.ndarray = np.asarray(array)
    if result.ndim == 0:
        raise ValueError(f"{where}: expected {name} with at least one axis, got shape ()")
    return result


def _copy(array: np.ndarray, chosen: slice | np.ndarray) -> np.ndarray:
    """The chosen rows in C order; `take` is the fastest way where it need not copy the whole array first."""
    if isinstance(chosen, slice):
        return np.array(array[chosen], order="C")
    if array.flags.c_contiguous:
        return np.take(array, chosen, axis=0)
    return np.ascontiguousarray(array[chosen])
