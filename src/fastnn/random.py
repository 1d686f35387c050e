"""Where random numbers come from: a `numpy.random.Generator` that the caller gives, or the package's default one.

Initial weights and dropout keys are drawn here and nowhere else, on the calling thread, so the same seed gives the same
result whatever the number of threads.
"""

from __future__ import annotations

import numbers

import numpy as np

from .arguments import integer

_default: np.random.Generator | None = None  # made when it is first asked for: importing numpy.random takes a while


def manual_seed(seed: int) -> np.random.Generator:
    """Restart the package's default generator from `seed` and return it.

    Parameters
    ----------
    seed : int
        A non-negative integer.

    Raises
    ------
    TypeError, ValueError
        `seed` is not an integer, or is negative.

    Examples
    --------
    >>> import fastnn.random
    >>> from fastnn import nn
    >>> _ = fastnn.random.manual_seed(0)
    >>> first = nn.Linear(3, 2).weight
    >>> _ = fastnn.random.manual_seed(0)
    >>> bool((nn.Linear(3, 2).weight == first).all())
    True
    """
    global _default
    _default = np.random.default_rng(integer("manual_seed", "seed", seed, low=0))
    return _default


def generator(rng: np.random.Generator | int | None = None) -> np.random.Generator:
    """The generator that an `rng` argument stands for.

    Parameters
    ----------
    rng : numpy.random.Generator, int or None
        A generator is returned as it is, an integer seeds a new one, None is the package's default.

    Raises
    ------
    TypeError
        `rng` is anything else.

    Examples
    --------
    >>> from fastnn.random import generator
    >>> float(generator(0).random()) == float(generator(0).random())
    True
    """
    global _default
    if rng is None:
        if _default is None:
            _default = np.random.default_rng()
        return _default
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, numbers.Integral) and not isinstance(rng, bool):
        return np.random.default_rng(integer("generator", "rng", rng, low=0))
    raise TypeError(f"generator: expected rng as a numpy.random.Generator, an int or None, got {type(rng).__name__}")
