"""Ragged sequences: a list of (T_i, a) matrices, the same as one padded batch, and the one home of input checks.

A set of sequences is a list, because real sequences differ in length. A padded batch exists only for the length of one
product or one training step; its zeros stand at the end, after each sequence's last step, so that a causal model never
sees them, and `valid_mask` keeps them out of every sum.

Letters: T_i steps of sequence i, a features, B sequences in a batch.
"""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class Padded(NamedTuple):
    """A batch of sequences padded at the end with zeros."""

    values: Tensor  # (B, T, a), T the longest length
    lengths: Tensor  # (B,) int64


def check_sequences(sequences: Any, *, features: int | None = None, min_length: int = 1) -> list[Tensor]:
    """Turn what a user calls sequences into a list of (T_i, a) floating tensors, or say what is wrong with them.

    Parameters
    ----------
    sequences : list or tuple of (T_i, a) arrays or tensors, or one (n, T, a) array or tensor
        Never changed, and not copied where its type already is float32 or float64.
    features : int, optional
        The number of features wanted; by default that of the first sequence.
    min_length : int
        The fewest steps a sequence may have.

    Returns
    -------
    list of Tensor
        (T_i, a) each, float32 or float64 as given, other types as float32; the caller's memory is shared where
        possible, so the tensors are to be read only.

    Raises
    ------
    ValueError
        For an empty list, a sequence that is not a matrix, has another number of features or too few steps, or holds a
        NaN or an infinity; each message says which sequence and where.
    """
    if isinstance(sequences, np.ndarray | Tensor) and sequences.ndim != 3 and sequences.dtype != object:
        raise ValueError(
            f"expected a list of (T, a) sequences or one (n, T, a) array, got one array of shape "
            f"{tuple(sequences.shape)}: put a single sequence into a list"
        )
    if isinstance(sequences, str | bytes | dict) or not isinstance(sequences, Iterable):
        raise ValueError(f"expected a list of (T, a) sequences, got a {type(sequences).__name__}")
    checked: list[Tensor] = []
    for index, sequence in enumerate(sequences):
        checked.append(check_sequence(sequence, index, features, min_length))
        features = checked[0].shape[1]
    if not checked:
        raise ValueError("the list of sequences is empty: at least one (T, a) sequence is needed")
    return checked


def check_sequence(sequence: Any, index: int, features: int | None = None, min_length: int = 1) -> Tensor:
    """Check the sequence number `index` as `check_sequences` does, by itself."""
    tensor = _to_floating(sequence, index)
    if tensor.ndim != 2:
        raise ValueError(f"sequence {index} has shape {tuple(tensor.shape)}, wanted two dimensions (steps, features)")
    _check_one(tensor, index, tensor.shape[1] if features is None else features, min_length)
    return tensor


def _to_floating(sequence: Any, index: int) -> Tensor:
    if not isinstance(sequence, Tensor):
        try:
            array = np.asarray(sequence)
            if np.iscomplexobj(array):
                return _to_floating(torch.from_numpy(array), index)
            array = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
            if array.dtype not in (np.float32, np.float64):
                array = array.astype(np.float32)
        except (TypeError, ValueError) as error:
            raise ValueError(f"sequence {index} is not a matrix of numbers: {error}") from None
        array = np.ascontiguousarray(array) if any(stride < 0 for stride in array.strides) else array
        with warnings.catch_warnings():  # torch warns of read-only memory; nothing here writes
            warnings.simplefilter("ignore")
            sequence = torch.from_numpy(array)
    sequence = sequence.detach()
    if sequence.is_complex():
        raise ValueError(f"sequence {index} is complex: give real and imaginary parts as features of their own")
    return sequence if sequence.dtype in (torch.float32, torch.float64) else sequence.to(torch.float32)


def _check_one(sequence: Tensor, index: int, features: int, min_length: int) -> None:
    shape = tuple(sequence.shape)
    if shape[1] != features or features == 0:
        wanted = "at least one" if features == 0 else features
        raise ValueError(
            f"sequence {index} has {shape[1]} features, wanted {wanted}: all sequences need the same number"
        )
    if shape[0] < min_length:
        raise ValueError(f"sequence {index} has {shape[0]} steps, wanted at least {min_length}: leave it out")
    if not torch.isfinite(sequence.sum()) and not torch.isfinite(sequence).all():
        step, feature = torch.nonzero(~torch.isfinite(sequence))[0].tolist()
        raise ValueError(
            f"sequence {index} holds {sequence[step, feature].item()} at step {step}, feature {feature}: "
            "remove or fill in such values first"
        )


def pad(sequences: Sequence[Tensor]) -> Padded:
    """Stack (T_i, a) sequences into one (B, T, a) batch, with zeros after each sequence's last step."""
    lengths = [len(sequence) for sequence in sequences]
    values = sequences[0].new_zeros(len(sequences), max(lengths), sequences[0].shape[1])
    for row, sequence in enumerate(sequences):
        values[row, : len(sequence)] = sequence
    return Padded(values, torch.tensor(lengths, dtype=torch.int64, device=values.device))


def unpad(values: Tensor, lengths: Tensor | Sequence[int]) -> list[Tensor]:
    """Cut a (B, T, ...) batch back into B sequences of (T_i, ...), views of it."""
    sizes = lengths.tolist() if isinstance(lengths, Tensor) else lengths
    return [row[: int(length)] for row, length in zip(values, sizes, strict=True)]


def valid_mask(lengths: Tensor, length: int | None = None) -> Tensor:
    """(B, T) bool, true where a step belongs to its sequence; T is `length`, by default the longest."""
    steps = int(lengths.max()) if length is None else length
    return torch.arange(steps, device=lengths.device) < lengths[:, None]


def length_buckets(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Group the indices of sequences by similar length, at most `batch_size` a group, each sequence once.

    Groups run from the shortest to the longest sequences; equal lengths keep their order. Nothing here is random:
    shuffle the groups outside.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, wanted at least 1")
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
