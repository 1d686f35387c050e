"""fastnn: neural networks on the CPU, with explicit forward and backward, at the speed of compiled kernels."""

__version__ = "0.1.0"

from . import backend, callbacks, data, interop, metrics, nn, optim
from .backend import empty_cache, get_num_threads, set_num_threads, show_config, threads, use_backend
from .checkpoint import load_checkpoint, save_checkpoint
from .history import History
from .program import compile
from .random import manual_seed
from .serialization import load, save
from .trainer import Trainer

__all__ = [
    "History",
    "Trainer",
    "backend",
    "callbacks",
    "compile",
    "data",
    "empty_cache",
    "get_num_threads",
    "interop",
    "load",
    "load_checkpoint",
    "manual_seed",
    "metrics",
    "nn",
    "optim",
    "save",
    "save_checkpoint",
    "set_num_threads",
    "show_config",
    "threads",
    "use_backend",
]
