"""The operations that the compiled back end does not have yet: their tests skip there.

The reference has them, and with FASTNN_BACKEND=reference everything about them is tested. When PENDING is empty this
module goes, with all that imports it.
"""

from __future__ import annotations

import inspect

from fastnn import backend, reference

PENDING = frozenset(
    name
    for name, value in vars(reference).items()
    if inspect.isfunction(value) and not name.startswith("_") and name != "philox4x32"
    if backend._core is not None and not hasattr(backend._core, name)
)


def why_pending(name):
    return f"the compiled back end has no {name} yet"
