"""A history of sequences that do not fit into memory: every product is one pass over them, a chunk at a time.

The source is any iterable that can be iterated over more than once and yields (T, a) arrays or tensors: an object that
opens one file after the other, a data set read lazily, a list of memory-mapped arrays. Memory is for one chunk, its
spectra, and the solver's own vectors, for any number of sequences.

Symbols: N steps of all sequences, a features, L lags, q columns of a block.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from linmem.autoencoder.history.in_memory import InMemoryHistory
from linmem.autoencoder.history.operator import HistoryOperator
from linmem.autoencoder.history.precomputed import GramHistory
from linmem.autoencoder.history.survey import Survey
from linmem.sequences import check_sequence

CHUNK_NUMBERS = 500_000  # 4 MB in float64, some 20 MB with its spectrum and the states of a block


def chunks(
    source: Iterable[Any], features: int | None = None, numbers: int = CHUNK_NUMBERS, factor: float = 1.0
) -> Iterator[list[Tensor]]:
    """Cut a source into lists of checked sequences of about so many numbers, at least one sequence each."""
    chunk: list[Tensor] = []
    held = 0
    for index, sequence in enumerate(source):
        tensor = check_sequence(sequence, index, features)
        features = tensor.shape[1]
        if chunk and held + tensor.numel() > numbers:
            yield chunk
            chunk, held = [], 0
        chunk.append(tensor if factor == 1 else tensor.to(torch.float64) * factor)
        held += tensor.numel()
    if chunk:
        yield chunk


class StreamedHistory(HistoryOperator):
    """Ξ of a source that is read again for every product."""

    provides = frozenset({"gram"})
    block = 32  # each pass reads and transforms the inputs again, so it multiplies more columns than in memory

    def __init__(
        self,
        source: Iterable[Any],
        survey: Survey,
        *,
        mean: Tensor | None = None,
        features: list[int] | None = None,
        factor: float = 1.0,
    ) -> None:
        self.source, self.survey, self.factor = source, survey, factor
        self.mean, self.index = mean, features
        self.lags, self.rows, self.decay = survey.lags, survey.rows, survey.weights.decay
        self.features = len(survey.total) if features is None else len(features)
        self.device = survey.total.device

    @cached_property
    def energy(self) -> float:  # type: ignore[override]  # computed on first use
        """‖Ξ‖²; with a mean one pass, as no difference of uncentred sums holds it where the mean is large."""
        return self.survey.energy() if self.mean is None else sum(history.energy for history in self._histories())

    def gram_matvec(self, block: Tensor) -> Tensor:
        """Return Ξᵀ(Ξ Z) of Z (L, a, q), one pass for up to 32 columns."""
        out = torch.zeros_like(block)
        for start in range(0, block.shape[2], self.block):
            columns = block[:, :, start : start + self.block]
            for history in self._histories():
                out[: history.lags, :, start : start + self.block] += history.gram_matvec(columns[: history.lags])
        return out

    def gram(self) -> Tensor:
        """Return ΞᵀΞ, one pass."""
        size = self.lags * self.features
        out = torch.zeros(size, size, dtype=torch.float64, device=self.device)
        for history in self._histories():
            part = history.gram()
            out[: len(part), : len(part)] += part
        return out

    def precompute(self) -> GramHistory:
        """Return the history of ΞᵀΞ."""
        return GramHistory(self.gram(), self.lags, self.rows, self.decay)

    def lag_energy(self) -> Tensor:
        """(L,) squared norm of each lag's columns, one pass."""
        out = torch.zeros(self.lags, dtype=torch.float64, device=self.device)
        for history in self._histories():
            out[: history.lags] += history.lag_energy()
        return out

    def _histories(self) -> Iterator[InMemoryHistory]:
        for chunk in chunks(self.source, len(self.survey.total), factor=self.factor):
            lags = self.survey.weights.count(max(map(len, chunk)))
            yield InMemoryHistory(chunk, lags=lags, mean=self.mean, features=self.index, decay=self.decay)
