"""Handwritten digits, pixel by pixel: sequential MNIST, permuted MNIST, and scikit-learn's small digits.

An image of 28 × 28 pixels is read row by row as 784 steps of one feature; permuted MNIST applies one fixed random
permutation to the pixels of every image. `labels` holds the digits.

Symbols: T = 784 or 64 steps, a = 1 feature.
"""

from __future__ import annotations

import gzip
import math
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from linmem.data.downloads import RemoteFile, fetch
from linmem.data.splits import SPLITS, LabelledSplits
from linmem.storage.limits import max_bytes, require_size
from linmem.storage.messages import shortened
from linmem.storage.parsing import parsing

SOURCE = "https://ossci-datasets.s3.amazonaws.com/mnist"
FILES = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
REMOTE = {name: RemoteFile(f"mnist/{name}", f"{SOURCE}/{name}", digest) for name, digest in FILES.items()}
VALID = 10_000  # the last of the 60,000 training images
PERMUTATION_SEED = 92916  # of numpy.random.RandomState, as in most public code for permuted MNIST
DIGITS_SEED = 0
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def load_mnist(permuted: bool = False, root: str | os.PathLike[str] | None = None) -> LabelledSplits:
    """Load MNIST as sequences of pixels in [0, 1].

    Parameters
    ----------
    permuted : bool
        Whether the pixels come in the order of `pixel_order()` instead of row by row.
    root : path, optional
        The data root; see `downloads.data_root`.

    Returns
    -------
    LabelledSplits
        50,000 sequences (784, 1) to train, the last 10,000 training images as valid, and 10,000 to test.

    Raises
    ------
    ValueError
        A file is damaged or altered.
    ConnectionError
        A file is missing and cannot be downloaded.
    """
    arrays = {name: torch.from_numpy(read_idx(fetch(file, root))) for name, file in REMOTE.items()}
    images = {part: arrays[f"{part}-images-idx3-ubyte.gz"].flatten(1) for part in ("train", "t10k")}
    labels = {part: arrays[f"{part}-labels-idx1-ubyte.gz"] for part in ("train", "t10k")}
    if permuted:
        images = {part: pixels[:, pixel_order()] for part, pixels in images.items()}
    cut = len(images["train"]) - VALID
    parts = {"train": ("train", slice(0, cut)), "valid": ("train", slice(cut, None)), "test": ("t10k", slice(None))}
    return _pixel_splits(
        "psmnist" if permuted else "smnist",
        {split: images[part][rows].float() / 255 for split, (part, rows) in parts.items()},
        {split: labels[part][rows] for split, (part, rows) in parts.items()},
        f"MNIST (LeCun, Cortes & Burges; CC BY-SA 3.0), {SOURCE}"
        + (f"; pixels permuted by numpy.random.RandomState({PERMUTATION_SEED})" if permuted else ""),
    )


def load_digits(root: str | os.PathLike[str] | None = None) -> LabelledSplits:
    """Load scikit-learn's 1,797 digits of 8 × 8 pixels in [0, 1] as sequences of 64 steps, split 60 / 20 / 20.

    Parameters
    ----------
    root : path, optional
        Not used: scikit-learn ships the images.

    Examples
    --------
    >>> load_digits()
    LabelledSplits('digits', series, 1 features, 10 classes; train 1079, valid 359, test 359)
    """
    from sklearn.datasets import load_digits as sklearn_digits

    pixels, labels = sklearn_digits(return_X_y=True)
    order = np.random.RandomState(DIGITS_SEED).permutation(len(pixels))
    held_out = len(pixels) // 5
    cuts = np.split(order, [len(order) - 2 * held_out, len(order) - held_out])
    return _pixel_splits(
        "digits",
        {split: torch.from_numpy(pixels[rows]).float() / 16 for split, rows in zip(SPLITS, cuts, strict=True)},
        {split: torch.from_numpy(labels[rows]) for split, rows in zip(SPLITS, cuts, strict=True)},
        "Optical Recognition of Handwritten Digits (Alpaydin & Kaynak, UCI, CC BY 4.0), sklearn.datasets.load_digits",
    )


def pixel_order() -> Tensor:
    """Return (784,) the index of the pixel at each step of permuted MNIST."""
    return torch.from_numpy(np.random.RandomState(PERMUTATION_SEED).permutation(28 * 28))


def _pixel_splits(name: str, pixels: dict[str, Tensor], labels: dict[str, Tensor], provenance: str) -> LabelledSplits:
    train, valid, test = (list(pixels[split].unsqueeze(-1)) for split in SPLITS)
    return LabelledSplits(
        name,
        train,
        valid,
        test,
        titles={split: [f"{name} {split} {i}" for i in range(len(pixels[split]))] for split in SPLITS},
        labels={split: labels[split].long() for split in SPLITS},
        kind="series",
        provenance=provenance,
    )


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file, gzipped or not: 0, 0, a type, the number of axes, their sizes, and the numbers, big-endian.

    Raises
    ------
    ValueError
        The file has another format, or its size differs from its header.
    """
    reading = parsing(path, "a readable gzip file", "Restore the original.")
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream, reading:
        content = stream.read(max_bytes() + 1)
    require_size(len(content), path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
        raise ValueError(
            f"{path} must be an IDX file, got one that begins with {content[:4].hex() or 'nothing'}. Restore it."
        )
    kind, axes = np.dtype(IDX_TYPES[content[2]]), content[3]
    start = 4 + 4 * axes
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, min(start, len(content)), 4)]
    expected = start + math.prod(shape) * kind.itemsize
    if len(content) != expected:
        raise ValueError(
            f"{path} must have {shortened(expected, 20)} bytes for shape {shortened(shape, 40)}, "
            f"got {len(content)}: it is damaged. Restore it."
        )
    return np.frombuffer(content, kind, offset=start).reshape(shape).astype(kind.newbyteorder("="))
