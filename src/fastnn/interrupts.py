"""Ctrl-C between two training steps, so that no step is left half done."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def held() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back within the block; what it gives is called between steps and raises KeyboardInterrupt if it came.

    A second Ctrl-C is not held back. Neither is one that the program handles in its own way, nor in another thread than
    the main one, where Python does not raise it.
    """
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True

    def release() -> None:
        nonlocal came
        if came:
            came = False
            raise KeyboardInterrupt

    plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not plain or threading.current_thread() is not threading.main_thread():
        yield release
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield release
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    release()
