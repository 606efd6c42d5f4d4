"""Ragged sequences: validation of lists of (T_i, a) matrices, padding to one batch, and grouping by length.

A set of sequences is a list, because sequences differ in length. A padded batch exists only during one product or one
training step. Its zeros follow each sequence's last step, so a causal model never reads them, and `valid_mask` excludes
them from sums.

Symbols: T_i steps of sequence i, a features, B sequences in a batch.
"""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from linmem.storage.messages import reason_of

EXACT_IN_SINGLE = (
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16),
    *(torch.float16, torch.bfloat16, torch.float32),
)  # dtypes whose numbers float32 holds exactly


class Padded(NamedTuple):
    """A batch of sequences padded at the end with zeros."""

    values: Tensor  # (B, T, a), T the longest length
    lengths: Tensor  # (B,) int64


def check_sequences(sequences: Any, *, features: int | None = None, min_length: int = 1) -> list[Tensor]:
    """Validate sequences and convert them to a list of (T_i, a) floating-point tensors.

    Parameters
    ----------
    sequences : list or tuple of (T_i, a) arrays or tensors, or one (n, T, a) array or tensor
        Never modified, and not copied if its dtype is already float32 or float64.
    features : int, optional
        The expected number of features; by default that of the first sequence.
    min_length : int
        The fewest steps a sequence may have.

    Returns
    -------
    list of Tensor
        (T_i, a) each, of the dtype that `floating` says. The tensors share the caller's memory where possible: do not
        write to them.

    Raises
    ------
    ValueError
        The list is empty, or a sequence is not a matrix, has a different number of features, has too few steps, or
        contains NaN or infinity. The message names the sequence and the position.
    """
    if isinstance(sequences, np.ndarray | Tensor) and sequences.ndim != 3 and sequences.dtype != object:
        raise ValueError(
            f"sequences must be a list of (T, a) sequences or one (n, T, a) array, got one array of shape "
            f"{tuple(sequences.shape)}. Put a single sequence into a list."
        )
    if isinstance(sequences, str | bytes | dict) or not isinstance(sequences, Iterable):
        raise ValueError(
            f"sequences must be a list of (T, a) sequences, got {type(sequences).__name__}. Pass a list of arrays."
        )
    checked: list[Tensor] = []
    for index, sequence in enumerate(sequences):
        checked.append(check_sequence(sequence, index, features, min_length))
        features = checked[0].shape[1]
    if not checked:
        raise ValueError(
            "sequences must contain at least one (T, a) sequence, got none. Pass a list that is not empty."
        )
    return checked


def check_sequence(sequence: Any, index: int, features: int | None = None, min_length: int = 1) -> Tensor:
    """Validate and convert one sequence like `check_sequences`; `index` is its position in error messages."""
    tensor = _to_floating(sequence, index)
    if tensor.ndim != 2:
        raise ValueError(
            f"sequence {index} must have two dimensions (steps, features), got shape {tuple(tensor.shape)}. Reshape it."
        )
    _check_one(tensor, index, tensor.shape[1] if features is None else features, min_length)
    return tensor


def _to_floating(sequence: Any, index: int) -> Tensor:
    if isinstance(sequence, np.ma.MaskedArray) and np.ma.is_masked(sequence):
        raise ValueError(
            f"sequence {index} must have no masked values, got {int(np.ma.count_masked(sequence))}. "
            "Fill them in or remove the steps first."
        )
    if isinstance(sequence, Tensor) and (sequence.is_meta or sequence.layout != torch.strided):
        kind = "device meta" if sequence.is_meta else str(sequence.layout)
        raise ValueError(f"sequence {index} must be a dense tensor with data, got one of {kind}. Convert it.")
    if not isinstance(sequence, Tensor):
        try:
            sequence = tensor_of(sequence)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"sequence {index} must be a matrix of numbers, got {type(sequence).__name__} ({reason_of(error)}). "
                "Convert it to a numeric array."
            ) from None
    sequence = sequence.detach()
    if sequence.is_complex():
        raise ValueError(
            f"sequence {index} must be real, got {sequence.dtype}. Pass real and imaginary parts as separate features."
        )
    return sequence.to(floating(sequence.dtype))


def tensor_of(values: Any) -> Tensor:
    """Convert an array or nested lists to a tensor of the dtype that `floating` says, complex numbers excepted.

    The memory is shared where torch can read it: it must be in the machine's byte order, without negative strides.

    Raises
    ------
    TypeError, ValueError
        The values are not numbers, or the lists do not form an array.
    """
    array = np.asarray(values)
    if array.dtype.kind in "mM":
        raise TypeError("dates and durations are no numbers")
    if not np.iscomplexobj(array):
        single = array.dtype.kind in "fiub" and np.result_type(array.dtype, np.float32) == np.float32
        array = array.astype(np.float32 if single else np.float64, copy=False)
    array = array.copy() if any(stride < 0 for stride in array.strides) else array
    with warnings.catch_warnings():  # torch warns about read-only memory; nothing here writes to it
        warnings.simplefilter("ignore")
        return torch.from_numpy(array)


def floating(dtype: torch.dtype) -> torch.dtype:
    """Return float32 if it holds every number of `dtype`, else float64, so that large integers are not rounded."""
    return torch.float32 if dtype in EXACT_IN_SINGLE else torch.float64


def _check_one(sequence: Tensor, index: int, features: int, min_length: int) -> None:
    shape = tuple(sequence.shape)
    if shape[1] != features or features == 0:
        expected = "at least 1 feature" if features == 0 else f"{features} features"
        raise ValueError(
            f"sequence {index} must have {expected}, got {shape[1]}. Give all sequences the same number of features."
        )
    if shape[0] < min_length:
        raise ValueError(f"sequence {index} must have at least {min_length} steps, got {shape[0]}. Leave it out.")
    if not torch.isfinite(sequence.sum()) and not torch.isfinite(sequence).all():
        step, feature = torch.nonzero(~torch.isfinite(sequence))[0].tolist()
        raise ValueError(
            f"sequence {index} must be finite, got {sequence[step, feature].item()} at step {step}, feature {feature}. "
            "Remove or replace such values."
        )


def pad(sequences: Sequence[Tensor]) -> Padded:
    """Stack (T_i, a) sequences into one (B, T, a) batch, with zeros after each sequence's last step."""
    lengths = [len(sequence) for sequence in sequences]
    values = sequences[0].new_zeros(len(sequences), max(lengths), sequences[0].shape[1])
    for row, sequence in enumerate(sequences):
        values[row, : len(sequence)] = sequence
    return Padded(values, torch.tensor(lengths, dtype=torch.int64, device=values.device))


def unpad(values: Tensor, lengths: Tensor | Sequence[int]) -> list[Tensor]:
    """Split a (B, T, ...) batch into B sequences of (T_i, ...), as views of the batch."""
    sizes = lengths.tolist() if isinstance(lengths, Tensor) else lengths
    return [row[: int(length)] for row, length in zip(values, sizes, strict=True)]


def valid_mask(lengths: Tensor, length: int | None = None) -> Tensor:
    """Return a (B, T) bool mask, true at the steps of each sequence; T is `length`, by default the longest."""
    steps = int(lengths.max()) if length is None else length
    return torch.arange(steps, device=lengths.device) < lengths[:, None]


def length_buckets(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Group the indices of sequences by similar length, at most `batch_size` per group, each sequence once.

    Groups are ordered from the shortest to the longest sequences; equal lengths keep their order. The result is
    deterministic: the caller shuffles the groups.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}. Raise batch_size.")
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
