"""fastnn's containers of branches as modules of PyTorch, which has none: what `to_torch` builds and `from_torch` reads.

The only module that imports PyTorch when it is imported, which is when a function is called that needs it.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch


class _Container(torch.nn.Module):
    """Modules under the names "0", "1", ..."""

    def __init__(self, *layers: torch.nn.Module) -> None:
        super().__init__()
        for index, layer in enumerate(layers):
            self.add_module(str(index), layer)

    def _layers(self) -> list[Any]:
        """The modules in their order; one that is used twice comes twice."""
        return [layer for name, layer in self._modules.items() if name.isdigit()]


class Residual(_Container):
    """f(x) + s(x) of layers f, one after another, and of a shortcut s, which may be None for x itself."""

    def __init__(self, *layers: torch.nn.Module, shortcut: torch.nn.Module | None = None) -> None:
        super().__init__(*layers)
        self.shortcut = shortcut

    def forward(self, input: Any) -> Any:
        output = reduce(lambda value, layer: layer(value), self._layers(), input)
        return output + (input if self.shortcut is None else self.shortcut(input))


class Concat(_Container):
    """The outputs of modules that all see the input, joined along an axis."""

    def __init__(self, *branches: torch.nn.Module, dim: int = 1) -> None:
        super().__init__(*branches)
        self.dim = dim

    def forward(self, input: Any) -> Any:
        return torch.cat([branch(input) for branch in self._layers()], self.dim)


class Add(_Container):
    """The sum of the outputs of modules that all see the input."""

    def forward(self, input: Any) -> Any:
        return reduce(torch.add, [branch(input) for branch in self._layers()])
