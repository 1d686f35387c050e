"""MNIST's IDX files, read defensively: no header makes the reader allocate more than the file holds."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

# The third byte of the file: https://yann.lecun.org/exdb/mnist/
IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"
MAX_AXES = 32  # as many as every NumPy release allows
CHUNK = 1 << 20  # bytes decompressed at a time


def load_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an IDX file, the format of MNIST, plain or compressed by gzip.

    Parameters
    ----------
    path : str or path
        The file. Compression is recognised by the first bytes, whatever the name.

    Returns
    -------
    numpy.ndarray
        The array in the file's shape and dtype (uint8, int8, int16, int32, float32 or float64), in native byte order.

    Raises
    ------
    ValueError
        If the file is not IDX, is damaged, or holds fewer or more bytes than its header says. No more is read, and
        no more memory taken, than the header's size and what the file holds.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastnn.data import load_idx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "labels-idx1-ubyte")
    ...     with open(path, "wb") as file:
    ...         _ = file.write(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     load_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    name = os.fspath(path)
    with open(path, "rb") as file:
        magic = file.read(2)
        file.seek(0)
        if magic != GZIP_MAGIC:
            return _read(name, file, os.fstat(file.fileno()).st_size)
        try:
            with gzip.open(file) as unpacked:
                return _read(name, unpacked, None)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{name}: expected a whole gzip file, got a damaged one ({error})") from None


def _read(name: str, file: BinaryIO | gzip.GzipFile, file_size: int | None) -> np.ndarray:
    """The array of an open IDX file; the size of the file is None where it is not known (gzip)."""
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in IDX_DTYPES:
        raise ValueError(f"{name}: expected an IDX file (bytes 00 00, a type of 08 to 0E), got {start.hex(' ')!r}")
    dtype, axes = np.dtype(IDX_DTYPES[start[2]]), start[3]
    if not 1 <= axes <= MAX_AXES:
        raise ValueError(f"{name}: expected 1 to {MAX_AXES} axes in the IDX header, got {axes}")
    sizes = file.read(4 * axes)
    if len(sizes) < 4 * axes:
        raise ValueError(f"{name}: expected {4 + 4 * axes} bytes of IDX header, got {4 + len(sizes)}")
    shape = struct.unpack(f">{axes}I", sizes)
    size = math.prod(shape) * dtype.itemsize
    if file_size is not None and file_size != 4 + len(sizes) + size:
        raise _wrong_size(name, shape, dtype, size, str(file_size - 4 - len(sizes)))
    data = _read_at_most(file, size + 1)
    if len(data) != size:
        raise _wrong_size(name, shape, dtype, size, str(len(data)) if len(data) < size else "more")
    try:
        array = np.frombuffer(data, dtype).reshape(shape)
    except ValueError as error:  # a size of 0 beside sizes whose product overflows
        raise ValueError(f"{name}: expected a possible shape, got {shape} ({error})") from None
    return array.astype(dtype.newbyteorder("="), copy=False)


def _wrong_size(name: str, shape: tuple[int, ...], dtype: np.dtype, size: int, got: str) -> ValueError:
    text = "x".join(map(str, shape))
    return ValueError(f"{name}: expected {size} bytes of data ({text} of {dtype.name}), got {got}")


def _read_at_most(file: BinaryIO | gzip.GzipFile, size: int) -> bytearray:
    """Up to `size` bytes, in a buffer that grows with what is there."""
    data = bytearray()
    while len(data) < size:
        chunk = file.read(min(CHUNK, size - len(data)))
        if not chunk:
            break
        data += chunk
    return data


def load_idx_folder(
    path: str | os.PathLike[str],
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray] | None]:
    """Read a folder of IDX files named as MNIST's and Fashion-MNIST's are.

    The names are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same with `t10k`; a dot may stand
    before `idx`, and `.gz` may follow.

    Parameters
    ----------
    path : str or path
        The folder.

    Returns
    -------
    train : (images, labels)
        The images (N, height, width) as stored, mostly uint8 from 0 to 255, and their labels (N,). Where the folder
        has only one pair of files, this is that pair.
    test : (images, labels) or None
        The `t10k` pair, where the folder has both.

    Raises
    ------
    FileNotFoundError
        If there is no pair, or a file lacks its partner.
    ValueError
        If a file is damaged, or images and labels do not fit together.
    """
    pairs = [pair for prefix in ("train", "t10k") if (pair := _load_pair(Path(path), prefix)) is not None]
    if not pairs:
        raise FileNotFoundError(
            f"{path}: expected IDX files such as train-images-idx3-ubyte and train-labels-idx1-ubyte, got none"
        )
    return pairs[0], pairs[1] if len(pairs) > 1 else None


def _load_pair(folder: Path, prefix: str) -> tuple[np.ndarray, np.ndarray] | None:
    images_path, labels_path = _find(folder, f"{prefix}-images", 3), _find(folder, f"{prefix}-labels", 1)
    if images_path is None and labels_path is None:
        return None
    if images_path is None or labels_path is None:
        raise FileNotFoundError(
            f"{folder}: expected images and labels, got {(images_path or labels_path).name} alone"  # type: ignore[union-attr]
        )
    images, labels = load_idx(images_path), load_idx(labels_path)
    if images.ndim < 2:
        raise ValueError(f"{images_path}: expected images of shape (N, height, width), got {images.shape}")
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(f"{labels_path}: expected integer labels of shape (N,), got {labels.dtype} {labels.shape}")
    if len(images) != len(labels):
        raise ValueError(f"{folder}: expected one label for each of {len(images)} {prefix} images, got {len(labels)}")
    return images, labels


def _find(folder: Path, start: str, axes: int) -> Path | None:
    for separator in "-.":
        for suffix in ("", ".gz"):
            path = folder / f"{start}{separator}idx{axes}-ubyte{suffix}"
            if path.is_file():
                return path
    return None
