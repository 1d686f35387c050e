"""Models from and to other libraries: PyTorch both ways, ONNX out.

PyTorch and ONNX are imported when a function is called that needs them.
"""

from .onnx import to_onnx
from .torch import from_torch, to_torch, to_torch_state_dict
from .torch_training import criterion_from_torch, criterion_to_torch, optimizer_from_torch, optimizer_to_torch

__all__ = [
    "criterion_from_torch",
    "criterion_to_torch",
    "from_torch",
    "optimizer_from_torch",
    "optimizer_to_torch",
    "to_onnx",
    "to_torch",
    "to_torch_state_dict",
]
