"""From what a user hands to `fit` to a history: sequences in memory, read again for each pass, or shared among workers.

Letters: a features.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from linmem.autoencoder.history.distributed import Reduced, Shard, agree, agree_on_input, reduce_survey
from linmem.autoencoder.history.in_memory import Gram, History
from linmem.autoencoder.history.out_of_core import Stream, chunks
from linmem.autoencoder.history.survey import Survey
from linmem.sequences import check_sequence, check_sequences


@dataclass(frozen=True)
class Given:
    """What kind of sequences came, so that the same kind can be given back."""

    as_torch: bool
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(cls, sequences: Any) -> "Given":
        """Look at the container or at its first sequence, which must have been checked."""
        first = sequences if isinstance(sequences, Tensor) else next(iter(sequences))
        first = first[0] if getattr(first, "ndim", 2) == 3 else first
        checked = check_sequence(first, 0)
        return cls(isinstance(first, Tensor), checked.dtype, checked.device)

    def back(self, tensor: Tensor) -> Any:
        """Turn a tensor into the kind, type and device that came."""
        tensor = tensor.to(dtype=self.dtype, device=self.device)
        return tensor if self.as_torch else tensor.cpu().numpy()


class Opened(NamedTuple):
    """A source, surveyed."""

    history: Gram  # of the features that sound
    mean: Tensor | None  # (a,) float64, with centring
    heard: list[int]  # the features that the history has
    features: int  # a
    given: Given


def listed(sequences: Any) -> Any:
    """Return arrays and lists as they are, other collections of sequences as lists."""
    return sequences if isinstance(sequences, Tensor | np.ndarray | list | tuple) else list(sequences)


def open_source(sequences: Any, center: bool) -> Opened:
    """Survey the sequences and make their history."""
    if isinstance(sequences, Shard):
        return _open_shard(sequences, center)
    held = _hold(sequences)
    survey = held.survey
    mean = survey.mean if center else None
    heard = list(range(held.features)) if center else survey.heard()
    return Opened(held.history(survey, mean, heard), mean, heard, held.features, Given.of(sequences))


@dataclass(frozen=True)
class _Held:
    """Sequences in memory (a list of tensors) or to be read again (any other iterable), with their survey."""

    sequences: Iterable[Any]
    survey: Survey

    @property
    def features(self) -> int:
        return len(self.survey.total)

    def history(self, survey: Survey, mean: Tensor | None, heard: list[int]) -> Gram:
        if isinstance(self.sequences, list):
            return History(self.sequences, mean=mean, features=heard)
        return Stream(self.sequences, survey, mean=mean, features=heard)


def _hold(sequences: Any) -> _Held:
    if isinstance(sequences, Tensor | np.ndarray | list | tuple) or not isinstance(sequences, Iterable):
        checked = check_sequences(sequences)
        return _Held(checked, Survey.of(checked, checked[0].shape[1], checked[0].device))
    survey: Survey | None = None
    for chunk in chunks(sequences):
        part = Survey.of(chunk, chunk[0].shape[1], chunk[0].device)
        survey = part if survey is None else survey + part
    if survey is None:
        check_sequences([])
    assert survey is not None
    return _Held(sequences, survey)


def _open_shard(shard: Shard, center: bool) -> Opened:
    """Like `open_source`, but with the survey, the mean and the kind of all workers; one may have no sequences."""
    held, given = agree_on_input(lambda: _open_local(shard.sequences), shard.group)
    features = agree(0 if held is None else held.features, shard.group, "features")
    code = 0 if given is None else 1 + 2 * given.as_torch + (given.dtype == torch.float64)
    code = agree(code, shard.group, "kinds of arrays")
    if not features:
        check_sequences([])
    device = torch.device("cpu") if given is None else given.device
    if given is None:
        given = Given(code > 2, torch.float64 if code % 2 == 0 else torch.float32, device)
    survey = reduce_survey(Survey.empty(features, device) if held is None else held.survey, shard.group)
    mean = survey.mean if center else None
    heard = list(range(features)) if center else survey.heard()
    local = None if held is None else held.history(held.survey, mean, heard)
    history = Reduced(local, survey, survey.energy(mean), len(heard), shard.group)
    return Opened(history, mean, heard, features, given)


def _open_local(sequences: Any) -> tuple[_Held | None, Given | None]:
    if isinstance(sequences, list | tuple) and not sequences:
        return None, None
    return _hold(sequences), Given.of(sequences)
