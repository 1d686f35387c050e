"""Course frameworks on fastnn: change one import, and a program written against one of them runs as it is, faster.

torch7
    `updateOutput`, W (out, in), gradients of Linear accumulate: the framework of a practical deep learning course.
torch7_2017
    Its early edition: W (in, out), gradients come as new arrays, `ClassNLLCriterion` takes probabilities.
snake
    `update_output`, W (in, out), gradients come as new arrays, a Sequential keeps lists of all outputs.
plain
    `forward`, `backward`, `parameters`, `Sequential(*layers)`.
seminar
    camelCase, `Linear` without bias.

`from fastnn.compat.torch7 import *` takes the place of the file that defines the framework. `check(path)` tells which
dialect a file speaks; `port(path)`, or `fastnn port FILE` in a shell, changes the import. `verify(path)` runs the
classes of the file beside those of fastnn and tells whose numbers differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..arguments import float_dtype

if TYPE_CHECKING:
    from .migration import Report, Verification, check, port, verify

__all__ = ["Report", "Verification", "astype", "check", "port", "verify"]


def __getattr__(name: str) -> Any:
    """What reads users' files is imported when it is used: a program that was changed does without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import migration

    return getattr(migration, name)


def astype(net: Any, dtype: Any) -> Any:
    """Convert the parameters and gradients of a network of any dialect.

    With float32 parameters and float32 data everything is computed in float32, which is faster; fresh parameters are
    float64, as in the courses.

    Parameters
    ----------
    net
        A layer or a container.
    dtype : dtype
        float32 or float64.

    Returns
    -------
    The network itself, with new arrays where the dtype was another one.

    Raises
    ------
    TypeError
        The dtype is another one.

    Examples
    --------
    >>> import fastnn.compat
    >>> from fastnn.compat.torch7 import *
    >>> net = Sequential(Linear(3, 2), LogSoftMax())
    >>> fastnn.compat.astype(net, np.float32).forward(np.ones((1, 3), np.float32)).dtype
    dtype('float32')
    """
    dtype = float_dtype("astype", dtype)
    for layer in (net, *_children(net)):
        for name, value in list(vars(layer).items()):
            if name in _ARRAYS and value is not None:
                setattr(layer, name, value.astype(dtype, copy=False))
    return net


_NAMES = ("W", "b", "gamma", "beta", "gradW", "gradb", "gradGamma", "gradBeta", "grad_W", "grad_b", "grad_gamma")
_ARRAYS = {*_NAMES, "grad_beta", "moving_mean", "moving_variance"}


def _children(net: Any) -> list[Any]:
    children = list(getattr(net, "modules", ()) or getattr(net, "layers", ()))
    return children + [deeper for child in children for deeper in _children(child)]
