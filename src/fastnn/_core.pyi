"""The compiled back end: the operations of reference/, programs (see program/), and the settings."""

from collections.abc import Callable
from typing import Any

import numpy as np
from typing_extensions import disjoint_base

from .reference import *  # noqa: F403

MISSING: object
BUSY: object
INSTRUCTIONS: dict[str, tuple[int, str]]
GEMM_PROVIDERS: tuple[str, ...]

def unary_kind(name: str, a: float, b: float) -> tuple[int, bool]: ...
def loss_kind(name: str) -> int: ...
def panel_width(dtype: np.dtype[Any]) -> int: ...
def aligned(array: np.ndarray) -> np.ndarray: ...

@disjoint_base
class Program:
    least_rows: int
    def __init__(
        self,
        dtype: np.dtype[Any],
        code: list[Any],
        arena: list[tuple[int, int]],
        arrays: list[np.ndarray],
        shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        watched: list[Any],
        lists: list[Any],
        converted: list[tuple[np.ndarray, np.ndarray]],
        scratch: int,
        ns: float,
        least_rows: int,
    ) -> None: ...
    def train_with(
        self,
        parameters: Any,
        squares: Any,
        states: list[dict[str, Any]],
        firsts: Any,
        kind: str,
        scalars: Any,
        penalty: float,
        watched_scalars: list[Any],
        rescale: Callable[[], Any],
        masks: list[Any],
        counters: list[np.ndarray],
        reduction: str,
        classes: bool,
        rows: bool,
        weighted: bool,
        ignore_index: int,
        size: int,
        weight: int,
        losses: int,
        hits: int,
        gathered: int,
        gathered_targets: int,
        gathered_weights: int,
    ) -> None: ...
    def watch(self, entries: list[Any]) -> None: ...
    def keep(self, owner: Any) -> None: ...
    def block(self, bytes: int, least: int) -> int: ...
    def step(self, x: Any, y: Any, weights: Any = None) -> float | None: ...
    def epoch(self, x: Any, y: Any, weights: Any, order: Any, batch: int, drop_last: bool, on_steps: Any) -> Any: ...
    def infer(self, x: Any, block: int) -> Any: ...

def isa_names() -> list[str]: ...
def isa_available() -> list[str]: ...
def isa() -> str: ...
def set_isa(name: str) -> None: ...
def gemm_provider() -> str: ...
def set_gemm_provider(name: str) -> None: ...
def blas() -> str | None: ...
def has_openmp() -> bool: ...
def num_threads() -> int: ...
def set_num_threads(count: int) -> None: ...
def cached_bytes() -> int: ...
def empty_cache() -> None: ...
def set_thread_limit(limit: int) -> None: ...
