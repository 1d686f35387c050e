"""Mini-batches of arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..arguments import positive_int
from ..checks import row_weights
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
        order: Any = None,
        sample_weight: Any = None,
    ) -> None:
        self.X = rows("batches", "X", X)
        self.Y = None if Y is None else rows("batches", "Y", Y)
        if self.Y is not None and len(self.Y) != len(self.X):
            raise ValueError(f"batches: expected X and Y of one length, got {len(self.X)} and {len(self.Y)} rows")
        self.sample_weight = row_weights("batches", sample_weight, len(self.X))
        if sample_weight is not None and Y is None:
            raise ValueError("batches: expected Y with sample_weight, got none")
        self.order = None if order is None else _row_numbers(order, len(self.X), bool(shuffle))
        self.batch_size = positive_int("batches", "batch_size", batch_size)
        self.shuffle = bool(shuffle)
        self.drop_last = bool(drop_last)
        self.rng = generator(rng)

    @property
    def rows(self) -> int:
        """Rows of one pass."""
        return len(self.X if self.order is None else self.order)

    def __len__(self) -> int:
        whole, rest = divmod(self.rows, self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def next_order(self) -> np.ndarray | None:
        """The numbers of the rows of a new pass, int64; None for all of them as they stand."""
        return self.rng.permutation(len(self.X)) if self.shuffle else self.order

    def __iter__(self) -> Iterator[Any]:
        order = self.next_order()
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            chosen = slice(start, start + self.batch_size) if order is None else order[start : start + self.batch_size]
            batch = [_copy(array, chosen) for array in (self.X, self.Y, self.sample_weight) if array is not None]
            yield batch[0] if self.Y is None else tuple(batch)

    def __repr__(self) -> str:
        return f"Batches({len(self)} of {self.batch_size}, {self.rows} rows, shuffle={self.shuffle})"


def batches(
    X: Any,
    Y: Any = None,
    batch_size: int = 32,
    shuffle: bool = False,
    rng: int | np.random.Generator | None = None,
    drop_last: bool = False,
    order: Any = None,
    sample_weight: Any = None,
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
    order : array of int, optional
        The numbers of the rows that a pass takes, in place of shuffling; some may be left out or come twice.
    sample_weight : array-like, shape (N,), optional
        Weights of the samples. The batches are then triples: the weights come third, as float64.

    Returns
    -------
    Batches
        An iterable with a length. It may be gone through again: each pass draws its own order. Every batch is a
        C-contiguous copy of its rows in the dtype of X, yours to change.

    Raises
    ------
    ValueError
        If X, Y and weights have different lengths, `batch_size` is less than 1, or `order` comes with `shuffle`.
    TypeError
        If `batch_size` is not an integer, `order` not of integers or `sample_weight` not of numbers.
    IndexError
        If `order` has the number of no row.

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
    return Batches(X, Y, batch_size, shuffle, rng, drop_last, order, sample_weight)


def rows(where: str, name: str, array: Any) -> np.ndarray:
    """`array` as a NumPy array that has a first axis; nothing is copied where it already is one."""
    result: np.ndarray = np.asarray(array)
    if result.ndim == 0:
        raise ValueError(f"{where}: expected {name} with at least one axis, got shape ()")
    return result


def _row_numbers(order: Any, count: int, shuffle: bool) -> np.ndarray:
    """A copy of `order` as int64, each from 0 and below `count`."""
    if shuffle:
        raise ValueError("batches: expected order or shuffle, got both")
    numbers = np.asarray(order)
    if numbers.dtype.kind not in "iu" and numbers.size:
        raise TypeError(f"batches: expected order of integers, got {numbers.dtype}")
    if numbers.ndim != 1:
        raise ValueError(f"batches: expected order of shape (rows,), got {numbers.shape}")
    bad = (numbers < 0) | (numbers >= count)
    if bad.any():
        raise IndexError(f"batches: expected row numbers in [0, {count}), got {numbers[bad.argmax()]}")
    return numbers.astype(np.int64)


def _copy(array: np.ndarray, chosen: slice | np.ndarray) -> np.ndarray:
    """The chosen rows in C order; `take` is the fastest way where it need not copy the whole array first."""
    if isinstance(chosen, slice):
        return np.array(array[chosen], order="C")
    if array.flags.c_contiguous:
        return np.take(array, chosen, axis=0)
    return np.ascontiguousarray(array[chosen])
