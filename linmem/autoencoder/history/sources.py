"""From the sequences passed to `fit` to a history: in memory, read again for each pass, or shared among workers.

Symbols: a features, γ lag decay.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from linmem.autoencoder.history.distributed import DistributedHistory, Shard, agree, agree_on_input, reduce_survey
from linmem.autoencoder.history.in_memory import InMemoryHistory
from linmem.autoencoder.history.operator import HistoryOperator
from linmem.autoencoder.history.out_of_core import StreamedHistory, chunks
from linmem.autoencoder.history.survey import LagWeights, Survey
from linmem.sequences import check_sequence, check_sequences

SAFE = 1e60  # values beyond it or all below its inverse are scaled: their squares' sums could overflow or vanish


@dataclass(frozen=True)
class InputType:
    """Container, dtype and device of the user's sequences, so that results have the same."""

    as_torch: bool
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(cls, sequences: Any) -> "InputType":
        """Look at the container or at its first sequence, which must have been checked."""
        first = sequences if isinstance(sequences, Tensor) else next(iter(sequences))
        first = first[0] if getattr(first, "ndim", 2) == 3 else first
        checked = check_sequence(first, 0)
        return cls(isinstance(first, Tensor), checked.dtype, checked.device)

    def convert(self, tensor: Tensor) -> Any:
        """Convert a tensor to this container, dtype and device."""
        tensor = tensor.to(dtype=self.dtype, device=self.device)
        return tensor if self.as_torch else tensor.cpu().numpy()


class Opened(NamedTuple):
    """A source, surveyed."""

    history: HistoryOperator  # of the active features, times `factor`
    mean: Tensor | None  # (a,) float64, of the sequences times `factor`, with centring
    active: list[int]  # the features that the history has
    features: int  # a
    longest: int  # longest sequence
    factor: float  # power of two by which the sequences are multiplied
    input_type: InputType


def as_collection(sequences: Any) -> Any:
    """Return arrays and lists as they are, other collections of sequences as lists.

    What is no collection is returned, too: `check_sequences` refuses it.
    """
    held = isinstance(sequences, Tensor | np.ndarray | list | tuple | str | bytes | dict)
    if held or not isinstance(sequences, Iterable):
        return sequences
    if not (found := list(sequences)) and isinstance(sequences, Iterator):
        raise ValueError(
            f"sequences must contain at least one (T, a) sequence, got a {type(sequences).__name__} with none left: it "
            "can be read only once. Collect the sequences in a list first."
        )
    return found


def open_source(sequences: Any, center: bool, decay: float) -> Opened:
    """Survey the sequences and make their history."""
    weights = LagWeights.of(decay)
    if isinstance(sequences, Shard):
        return _open_shard(sequences, center, weights)
    held = _hold(sequences, weights).scaled(None)
    mean, active = held.survey.mean if center else None, _active(held.survey, center)
    history = held.history(held.survey, mean, active)
    longest = held.survey.longest
    return Opened(history, mean, active, held.features, longest, held.factor, InputType.of(sequences))


def scale_factor(largest: float) -> float:
    """Return the power of two that brings `largest` near 1 where squares could overflow or vanish, else 1."""
    if largest == 0 or 1 / SAFE <= largest <= SAFE:
        return 1.0
    return 2.0 ** -math.frexp(largest)[1]


def _active(survey: Survey, center: bool) -> list[int]:
    return list(range(len(survey.total))) if center else survey.active()


@dataclass(frozen=True)
class _Held:
    """Sequences in memory (a list of tensors) or to be read again (any other iterable), with their survey."""

    sequences: Iterable[Any]
    survey: Survey
    factor: float = 1.0

    @property
    def features(self) -> int:
        return len(self.survey.total)

    def scaled(self, factor: float | None) -> "_Held":
        """Multiply all values by `factor`, by default the `scale_factor` of the largest."""
        factor = scale_factor(float(self.survey.largest.max())) if factor is None else factor
        if factor == 1:
            return self
        if isinstance(self.sequences, list):
            scaled = [sequence.to(torch.float64) * factor for sequence in self.sequences]
            survey = Survey.of(scaled, self.features, self.survey.total.device, self.survey.weights)
            return _Held(scaled, survey, factor)
        return _Held(self.sequences, _survey_source(self.sequences, self.survey.weights, factor), factor)

    def history(self, survey: Survey, mean: Tensor | None, active: list[int]) -> HistoryOperator:
        if isinstance(self.sequences, list):
            decay = survey.weights.decay
            lags = survey.weights.count(self.survey.longest)
            return InMemoryHistory(self.sequences, lags=lags, mean=mean, features=active, decay=decay)
        return StreamedHistory(self.sequences, survey, mean=mean, features=active, factor=self.factor)


def _hold(sequences: Any, weights: LagWeights) -> _Held:
    if isinstance(sequences, Tensor | np.ndarray | list | tuple) or not isinstance(sequences, Iterable):
        checked = check_sequences(sequences)
        return _Held(checked, Survey.of(checked, checked[0].shape[1], checked[0].device, weights))
    return _Held(sequences, _survey_source(sequences, weights))


def _survey_source(source: Iterable[Any], weights: LagWeights, factor: float = 1.0) -> Survey:
    survey: Survey | None = None
    for chunk in chunks(source, factor=factor):
        part = Survey.of(chunk, chunk[0].shape[1], chunk[0].device, weights)
        survey = part if survey is None else survey + part
    if survey is None:
        check_sequences([])
    assert survey is not None
    return survey


def _open_shard(shard: Shard, center: bool, weights: LagWeights) -> Opened:
    """Like `open_source`, but with the survey, mean and input type of all workers; one may have no sequences."""
    held, input_type = agree_on_input(lambda: _open_local(shard.sequences, weights), shard.group)
    features = agree(0 if held is None else held.features, shard.group, "number of features")
    code = 0 if input_type is None else 1 + 2 * input_type.as_torch + (input_type.dtype == torch.float64)
    code = agree(code, shard.group, "type of arrays")
    if not features:
        check_sequences([])
    device = torch.device("cpu") if input_type is None else input_type.device
    if input_type is None:
        input_type = InputType(code > 2, torch.float64 if code % 2 == 0 else torch.float32, device)
    empty = Survey.empty(features, device, weights)
    survey = reduce_survey(empty if held is None else held.survey, shard.group)
    factor = scale_factor(float(survey.largest.max()))
    if factor != 1:
        held = None if held is None else held.scaled(factor)
        survey = reduce_survey(empty if held is None else held.survey, shard.group)
    mean, active = survey.mean if center else None, _active(survey, center)
    local = None if held is None else held.history(held.survey, mean, active)
    history = DistributedHistory(local, survey, len(active), shard.group)
    return Opened(history, mean, active, features, survey.longest, factor, input_type)


def _open_local(sequences: Any, weights: LagWeights) -> tuple[_Held | None, InputType | None]:
    if isinstance(sequences, list | tuple) and not sequences:
        return None, None
    if isinstance(sequences, Iterator):
        raise ValueError(
            "sequences of a Shard must be a list or a source that can be iterated over more than once, "
            f"got a {type(sequences).__name__}. Collect it in a list."
        )
    return _hold(sequences, weights), InputType.of(sequences)
