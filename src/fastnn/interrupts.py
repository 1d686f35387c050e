"""Ctrl-C between two training steps, so that no step is left half done."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupts:
    """Ctrl-C while a model trains: within `held` it waits for the next `release`, elsewhere it is as always.

    A second Ctrl-C does not wait. Neither does one that the program handles in its own way, nor one in another thread
    than the main one, where Python does not raise it.
    """

    def __init__(self) -> None:
        self._holding = self._came = False

    @contextlib.contextmanager
    def caught(self) -> Iterator[Interrupts]:
        """Be the handler of Ctrl-C within the block, if that is Python's own."""
        plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if not plain or threading.current_thread() is not threading.main_thread():
            yield self
            return
        signal.signal(signal.SIGINT, self._note)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._came or not self._holding:
            raise KeyboardInterrupt
        self._came = True

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold Ctrl-C back within the block, until `release` or the end."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        self.release()

    def release(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C came; to be called between steps."""
        if self._came:
            self._came = False
            raise KeyboardInterrupt
