"""Optional packages, imported by the call that needs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def required(where: str, package: str) -> Any:
    """The package, or an ImportError that says how to install it; the extra of fastnn has the name of the package."""
    try:
        return import_module(package)
    except ImportError as error:
        raise ImportError(
            f"{where}: expected {package}, got {error}: pip install 'fastnn[{package}]' installs it"
        ) from None
