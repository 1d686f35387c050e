"""Models as safetensors files: one reader and one writer, no pickle.

A file is an 8-byte little-endian length, that many bytes of JSON (padded with spaces so that the data starts at a
multiple of 8) and the tensors' bytes in C order, little-endian. Any safetensors library reads what is written here,
and the other way round. The architecture of a model stands in the metadata beside its tensors.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from .nn import Module

ARCHITECTURE = "fastnn.architecture"
MAX_HEADER = 100_000_000  # bytes, the limit of the safetensors library
SIZES = ("features", "_channels", "kernel_size", "num_embeddings", "embedding_dim", "normalized_shape")
MAX_EXCESS = 1 << 20  # parameters: layers may be described that have none, such as BatchNorm1d(8, affine=False)
MAX_ERROR = 500  # letters
MAX_AXES = 32  # as many as every NumPy release allows
DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "U16": "<u2",
    "U32": "<u4",
    "U64": "<u8",
    "BOOL": "|b1",
}
NAMES = {np.dtype(code): name for name, code in DTYPES.items()}

PathLike = str | os.PathLike[str]


def save(model: Module, path: PathLike, metadata: Mapping[str, str] | None = None) -> None:
    """Write a model, its architecture and its tensors, to a safetensors file.

    Parameters
    ----------
    model : fastnn.nn.Module
        A model of fastnn's own layers. One that is used in two places is loaded as two layers with equal parameters.
    path : str or path
        The file. It is written beside and then put in place: an error, a full disk or a crash leaves an earlier file
        as it was.
    metadata : mapping of str to str, optional
        What else to keep with the model.

    Raises
    ------
    OSError
        If the file cannot be written.
    TypeError
        If metadata are not strings, or the model has a layer that is not fastnn's own.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastnn import nn, serialization
    >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     serialization.save(model, path)
    ...     again = serialization.load(path)
    >>> x = np.ones((1, 3), np.float32)
    >>> bool((again(x) == model(x)).all())
    True
    """
    if metadata is not None and ARCHITECTURE in metadata:
        raise ValueError(f"save: expected metadata without {ARCHITECTURE!r}, which holds the model's architecture")
    if not hasattr(model, "config"):  # a layer of fastnn.compat, for one
        raise TypeError(f"save: expected a fastnn.nn.Module, got {type(model).__module__}.{type(model).__qualname__}")
    architecture = json.dumps(model.config(), ensure_ascii=False, separators=(",", ":"))
    save_tensors(model.state_dict(), path, {**(metadata or {}), ARCHITECTURE: architecture})


def load(path: PathLike) -> Module:
    """Read a model that `save` wrote.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    fastnn.nn.Module
        A new model in training mode, as every new model is.

    Raises
    ------
    ValueError
        If the file is damaged, or does not hold a model of fastnn.
    OSError
        If the file cannot be read.
    """
    return build(*load_tensors(path), os.fspath(path))


def build(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str], name: str) -> Module:
    """The model whose architecture is in `metadata`, with these tensors; `name` is for errors."""
    from . import nn

    if ARCHITECTURE not in metadata:
        raise ValueError(f"{name}: expected a model that fastnn saved, got a file without {ARCHITECTURE!r}")
    try:
        config = json.loads(metadata[ARCHITECTURE])
        _check_sizes(config, sum(tensor.size for tensor in tensors.values()))
        model = nn.from_config(config)
        model.load_state_dict(tensors)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, MemoryError) as error:
        raise ValueError(f"{name}: expected a model of fastnn's layers: {_line(str(error))}") from error
    return model


def _line(text: str) -> str:
    """The text of an error as one short line: it may quote a name or a value of the file."""
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text[:MAX_ERROR])
    return text if len(text) < MAX_ERROR else text[: MAX_ERROR - 3] + "..."


def _layers(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The descriptions of a layer and of all below it."""
    yield config
    shortcut = config.get("shortcut")
    for layer in (*config.get("modules", ()), *([] if shortcut is None else [shortcut])):
        yield from _layers(layer)


def _claimed(layer: Mapping[str, Any]) -> int:
    """The product of all sizes among the arguments of a layer."""
    values = [value for name, value in layer.items() if name.endswith(SIZES)]
    sizes = [size for value in values for size in (value if isinstance(value, list) else [value])]
    groups = layer.get("groups")
    product = math.prod(size for size in sizes if type(size) is int and size > 0)
    return product // groups if type(groups) is int and groups > 0 else product


def _check_sizes(config: Mapping[str, Any], held: int) -> None:
    """Raise before layers are built that are far larger than what the file holds for them.

    A layer has at least as many parameters as the product of its sizes, or none at all.
    """
    claimed = sum(map(_claimed, _layers(config)))
    if claimed > held + MAX_EXCESS:
        raise ValueError(f"its architecture has {claimed} parameters or more, the file holds {held}")


def save_tensors(tensors: Mapping[str, Any], path: PathLike, metadata: Mapping[str, str] | None = None) -> None:
    """Write named arrays to a safetensors file.

    Parameters
    ----------
    tensors : mapping of str to array
        Arrays of any shape and layout, of dtype float64, float32, float16, (u)int64 to (u)int8 or bool.
    path : str or path
        The file, written beside and then put in place as by `save`.
    metadata : mapping of str to str, optional
        What else to keep in the header.

    Raises
    ------
    TypeError
        If a dtype is none of these, or a name or metadata are not strings.
    ValueError
        If a tensor is named "__metadata__", or the header is longer than 100 MB.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastnn.serialization import load_tensors, save_tensors
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "one.safetensors")
    ...     save_tensors({"a": np.arange(3)}, path, {"made by": "me"})
    ...     load_tensors(path)
    ({'a': array([0, 1, 2])}, {'made by': 'me'})
    """
    for name in tensors:
        if not isinstance(name, str):
            raise TypeError(f"save_tensors: expected names as strings, got {name!r}")
        if name == "__metadata__":
            raise ValueError("save_tensors: expected another name for a tensor than '__metadata__'")
    for pair in (metadata or {}).items():
        if not all(isinstance(text, str) for text in pair):
            raise TypeError(f"save_tensors: expected metadata as strings, got {pair[0]!r}: {pair[1]!r}")
    # Widest first, as the safetensors library writes them, so that every tensor is aligned.
    arrays = sorted(
        ((name, _writable(name, tensor)) for name, tensor in tensors.items()), key=lambda item: -item[1].itemsize
    )
    header = _header(arrays, dict(metadata or {}))
    with written_beside(path) as file:
        file.write(header)
        for _, array in arrays:
            file.write(array.reshape(-1).view(np.uint8).data)


def _writable(name: str, tensor: Any) -> np.ndarray:
    """The tensor in C order, little-endian, without a copy where it is so already."""
    array = np.asarray(tensor)
    dtype = array.dtype.newbyteorder("<")
    if dtype not in NAMES:
        raise TypeError(f"save_tensors: expected {name!r} of a dtype that safetensors has, got {array.dtype}")
    return np.asarray(array, dtype, order="C")


def _header(arrays: list[tuple[str, np.ndarray]], metadata: dict[str, str]) -> bytes:
    """The length and the JSON, padded so that the data starts at a multiple of 8."""
    entries: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name, array in arrays:
        begin, end = end, end + array.nbytes
        entries[name] = {"dtype": NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [begin, end]}
    try:
        text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"save_tensors: expected names and metadata that UTF-8 can hold ({error.reason})") from None
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise ValueError(f"save_tensors: expected a header of at most {MAX_HEADER} bytes, got {len(text)}")
    return struct.pack("<Q", len(text)) + text


@contextlib.contextmanager
def written_beside(path: PathLike) -> Iterator[BinaryIO]:
    """A new file in the folder of `path` that takes its place once it is whole and on the disk."""
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    mode = None
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(target).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError(f"{os.fspath(path)}: expected a file to write, got a folder or a device")
    beside = os.path.join(folder, f".fastnn-{os.urandom(8).hex()}.tmp")
    try:
        file = open(beside, "xb")  # noqa: SIM115 (closed below, before it is moved)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from None
    try:
        with file:
            yield file
            file.flush()
            if mode is not None:
                os.chmod(beside, stat.S_IMODE(mode))
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """Put the new name on the disk too, where the system can; the file itself is whole and in place already."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def load_tensors(path: PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read all tensors of a safetensors file.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    tensors : dict of str to numpy.ndarray
        Writable arrays by name, in the order of the header.
    metadata : dict of str to str
        The rest of the header.

    Raises
    ------
    ValueError
        If the file is damaged, holds more or less than its header says, or has a dtype that NumPy lacks. Everything
        is checked before anything is allocated, so no more memory is taken than the file holds.
    OSError
        If the file cannot be read.
    """
    name = os.fspath(path)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        header, start = _read_header(name, file, size)
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
            raise ValueError(f"{name}: expected metadata as an object of strings, got another value")
        layout = {key: _entry(f"{name}: tensor {_short(key)}", entry) for key, entry in header.items()}
        _check_layout(name, layout, size - start)
        return {
            key: _read_tensor(name, file, start + begin, dtype, shape)
            for key, (begin, _, dtype, shape) in layout.items()
        }, metadata


def _read_header(name: str, file: BufferedReader, size: int) -> tuple[dict[str, Any], int]:
    """The JSON of the header, checked to be an object without duplicate keys, and where the data starts."""
    if size < 8:
        raise ValueError(f"{name}: expected a safetensors file of at least 8 bytes, got {size}")
    (length,) = struct.unpack("<Q", file.read(8))
    if length > min(size - 8, MAX_HEADER):
        most = min(size - 8, MAX_HEADER)
        raise ValueError(f"{name}: expected a safetensors file with a header of at most {most} bytes, got {length}")
    text = file.read(length)
    if not text.startswith(b"{"):
        raise ValueError(f"{name}: expected a safetensors header that starts with '{{', got {text[:1]!r}")
    try:
        return json.loads(text.decode(), object_pairs_hook=_no_duplicates), 8 + length
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise ValueError(f"{name}: expected a header of JSON, got another text ({reason})") from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"duplicate key {_short(twice)}")
    return result


def _entry(where: str, entry: Any) -> tuple[int, int, str, tuple[int, ...]]:
    """begin, end, NumPy's dtype code and shape of one tensor, each within reason."""
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise ValueError(f"{where}: expected an object of dtype, shape and data_offsets, got another value")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"{where}: expected a dtype of {', '.join(DTYPES)}, got {_short(dtype)}")
    if not _naturals(shape) or len(shape) > MAX_AXES:
        raise ValueError(f"{where}: expected a shape of at most {MAX_AXES} sizes from 0, got {_short(shape)}")
    if not _naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"{where}: expected data_offsets [begin, end], got {_short(offsets)}")
    itemsize = np.dtype(DTYPES[dtype]).itemsize
    if math.prod(size for size in shape if size) * itemsize >= 1 << 63:
        raise ValueError(f"{where}: expected a shape that memory can hold, got {_short(shape)}")
    if math.prod(shape) * itemsize != offsets[1] - offsets[0]:
        raise ValueError(
            f"{where}: expected {math.prod(shape) * itemsize} bytes for shape {_short(shape)} of {dtype}, "
            f"got {offsets[1] - offsets[0]}"
        )
    return offsets[0], offsets[1], DTYPES[dtype], tuple(shape)


def _naturals(value: Any) -> bool:
    """Whether a JSON value is a list of whole numbers from 0."""
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)


def _short(value: Any) -> str:
    """A JSON value for an error's one line; containers within it are not followed."""
    if isinstance(value, list) and all(isinstance(item, (int, float, str)) for item in value):
        text = repr(value)
    else:
        text = repr(value) if isinstance(value, (int, float, str)) else f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def _check_layout(name: str, layout: Mapping[str, tuple[int, int, str, tuple[int, ...]]], size: int) -> None:
    """Raise unless the tensors lie one behind the other, without gap or overlap, and fill `size` bytes."""
    position = 0
    for key, (begin, end, *_) in sorted(layout.items(), key=lambda item: item[1][:2]):
        if begin != position:
            problem = "a gap" if begin > position else "an overlap"
            raise ValueError(
                f"{name}: tensor {_short(key)}: expected data from byte {position}, got {problem} at {begin}"
            )
        position = end
    if position != size:
        raise ValueError(f"{name}: expected {position} bytes of data, got {size}")


def _read_tensor(name: str, file: BufferedReader, begin: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """The tensor whose first byte is at `begin` of the file."""
    array = np.empty(shape, dtype)
    raw = array.reshape(-1).view(np.uint8)
    file.seek(begin)
    if file.readinto(raw.data) != array.nbytes:
        raise ValueError(f"{name}: expected {array.nbytes} bytes at {begin}, got the end of the file")
    if array.dtype == bool and (raw > 1).any():
        raise ValueError(f"{name}: expected BOOL data of bytes 0 and 1, got {raw.max()}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)
