"""Sums over chunks of sequences that are seen once, from which `partial_fit` makes a history.

With lag decay, K·a columns are few and ΞᵀΞ itself is the sum: exact, in constant memory (`GramChunks`). Without it,
the sum is carried as a factor R with RᵀR ≈ ΞᵀΞ (`FactorChunks`): while Ξ has few columns, R is the triangular factor of
a QR decomposition, updated by the rows of each chunk and exact to rounding. With many columns only the leading `size`
directions of the sum are carried, R = S Uᵀ; the energy beyond them is lost. ‖Ξ‖² itself is always exact.

The mean is not known before the last chunk. With centring the mean of the first chunk is subtracted from all of them,
so that a large one costs no digits. The sums are of these sequences with one more feature, which is constant: what the
mean has moved since the first chunk, times that feature, is subtracted at the end. The constant is the power of two
above the root mean square of a step, so that among few directions the feature counts about as much as the others.

Symbols: n = L·a columns, k rows of R, K lags that count.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from linmem.autoencoder.history.in_memory import InMemoryHistory
from linmem.autoencoder.history.operator import HistoryOperator
from linmem.autoencoder.history.precomputed import FactorHistory, GramHistory, SummedHistory, pad_lags
from linmem.autoencoder.history.sources import scale_factor
from linmem.autoencoder.history.survey import LagWeights, Survey
from linmem.autoencoder.solvers import Randomized
from linmem.autoencoder.solvers.select import GRAM_COLUMNS

DENSE_COLUMNS = 2000  # a QR decomposition of so many columns takes 0.3 s per chunk
ROWS = 4000  # rows taken into the triangular factor at once


class Chunks(ABC):
    """The sums, and the exact sums over steps that the mean and the energies need."""

    shift = torch.zeros((), dtype=torch.float64)  # with centring (a,), the mean step of the first chunk times `factor`
    constant = 1.0  # with centring, the value of the last feature

    def __init__(self, features: int, center: bool, weights: LagWeights, device: torch.device) -> None:
        self.width, self.center, self.weights = features + center, center, weights
        self.survey = Survey.empty(self.width, device, weights)
        self.factor = 1.0  # all values are multiplied by it, see `scale_factor`

    @property
    def mean(self) -> Tensor:
        """(a,) mean step times `factor`, zero without centring."""
        return self.shift + self.survey.mean[:-1] if self.center else torch.zeros_like(self.survey.mean)

    def update(self, sequences: Sequence[Tensor], generator: torch.Generator) -> None:
        """Add a chunk of checked (T_i, a) sequences."""
        self._set_factor(max(float(sequence.abs().max()) for sequence in sequences))
        if self.center and self.survey.rows == 0:
            self._begin([sequence.to(torch.float64) * self.factor for sequence in sequences])
        chunk = [self._prepared(sequence) for sequence in sequences]
        self.survey += Survey.of(chunk, self.width, self.survey.total.device, self.weights)
        self._add(chunk, generator)

    @abstractmethod
    def history(self) -> HistoryOperator:
        """Return the history of all chunks, centred if so requested."""

    @abstractmethod
    def _add(self, chunk: list[Tensor], generator: torch.Generator) -> None:
        """Add the prepared sequences to the sum."""

    @abstractmethod
    def _rescale(self, factors: Tensor) -> None:
        """Multiply the features (width,) of all chunks so far."""

    def _begin(self, scaled: list[Tensor]) -> None:
        rows = sum(map(len, scaled))
        self.shift = torch.stack([values.sum(0) for values in scaled]).sum(0) / rows
        energy = sum(float((values - self.shift).square().sum()) for values in scaled)
        self.constant = 2.0 ** math.frexp(math.sqrt(energy / rows))[1]

    def _prepared(self, sequence: Tensor) -> Tensor:
        values = sequence if self.factor == 1 else sequence.to(torch.float64) * self.factor
        if not self.center:
            return values
        values = values.to(torch.float64) - self.shift
        return torch.cat([values, values.new_full((len(values), 1), self.constant)], 1)

    def _set_factor(self, largest: float) -> None:
        known = self.survey.largest[:-1] + self.shift.abs() if self.center else self.survey.largest
        factor = scale_factor(max(largest, float(known.max()) / self.factor))
        if factor == self.factor:
            return
        change = factor / self.factor
        factors = torch.full((self.width,), change, dtype=torch.float64, device=known.device)
        self.survey, self.factor = self.survey.scaled(factors), factor
        self.shift, self.constant = self.shift * change, self.constant * change
        self._rescale(factors)

    def _moved(self) -> Tensor:
        """(a,) what the mean has moved since the first chunk, in units of the constant."""
        return self.survey.mean[:-1] / self.constant


class GramChunks(Chunks):
    """ΞᵀΞ of all chunks with its lag weights."""

    def __init__(self, features: int, center: bool, weights: LagWeights, device: torch.device) -> None:
        super().__init__(features, center, weights, device)
        self.gram = torch.zeros(0, 0, dtype=torch.float64, device=device)

    def history(self) -> GramHistory:
        """Return the history of all chunks."""
        gram = self.gram
        if self.center:
            moved = self._moved()
            parts = gram.view(self.survey.lags, self.width, self.survey.lags, self.width)
            cross = parts[:, :-1, :, -1]  # (L, a, L)
            gram = parts[:, :-1, :, :-1] - moved[:, None, None] * parts[:, -1:, :, :-1]
            gram = gram - cross[..., None] * moved
            gram = gram + moved[:, None, None] * parts[:, -1, :, -1][:, None, :, None] * moved
            gram = gram.reshape(len(gram) * len(moved), -1)
        return GramHistory(gram, self.survey.lags, self.survey.rows, self.weights.decay)

    def _add(self, chunk: list[Tensor], generator: torch.Generator) -> None:
        lags = self.weights.count(max(map(len, chunk)))
        part = InMemoryHistory(chunk, lags=lags, decay=self.weights.decay).gram()
        self.gram = pad_lags(self.gram, self.width, self.survey.lags)
        self.gram[: len(part), : len(part)] += part

    def _rescale(self, factors: Tensor) -> None:
        repeated = factors.repeat(len(self.gram) // self.width)
        self.gram = self.gram * repeated * repeated[:, None]


class FactorChunks(Chunks):
    """R, (k, L·a)."""

    def __init__(self, features: int, center: bool, weights: LagWeights, device: torch.device, size: int) -> None:
        super().__init__(features, center, weights, device)
        self.size = size
        self.rows = torch.zeros(0, self.width, dtype=torch.float64, device=device)

    def history(self) -> FactorHistory:
        """Return the history of all chunks."""
        lags, total, rows, energy = self.survey.lags, self.survey.rows, self.rows, self.survey.energy()
        if self.center:
            parts = rows.view(-1, lags, self.width)
            rows = (parts[:, :, :-1] - parts[:, :, -1:] * self._moved()).flatten(1)
            energy = self.survey.energy(self.survey.mean)  # to which the constant adds nothing
        return FactorHistory(rows, lags, total, energy, self.weights.decay)

    def _add(self, chunk: list[Tensor], generator: torch.Generator) -> None:
        lags = self.survey.lags
        new = lags * self.width - self.rows.shape[1]  # longer sequences: all rows so far are zero there
        self.rows = torch.nn.functional.pad(self.rows, (0, new))
        if lags * self.width <= DENSE_COLUMNS:
            self._add_rows(chunk, lags)
        else:
            self._add_directions(chunk, lags, generator)

    def _add_rows(self, chunk: list[Tensor], lags: int) -> None:
        pending: list[Tensor] = [self.rows]
        for sequence in chunk:
            pending.append(InMemoryHistory([sequence], lags=lags, decay=self.weights.decay).dense())
            if sum(len(rows) for rows in pending) > ROWS:
                pending = [torch.linalg.qr(torch.cat(pending), mode="r").R]
        self.rows = torch.linalg.qr(torch.cat(pending), mode="r").R

    def _add_directions(self, chunk: list[Tensor], lags: int, generator: torch.Generator) -> None:
        decay = self.weights.decay
        history: HistoryOperator = InMemoryHistory(chunk, lags=lags, decay=decay)
        if len(self.rows):
            energy = float(self.rows.square().sum())
            history = SummedHistory([FactorHistory(self.rows, lags, len(self.rows), energy, decay), history])
        spectrum = Randomized()(history, self.size, generator)
        self.rows = spectrum.singular_values[:, None] * spectrum.right_vectors.flatten(0, 1).T

    def _rescale(self, factors: Tensor) -> None:
        self.rows = self.rows * factors.repeat(self.rows.shape[1] // self.width)


def start_chunks(features: int, center: bool, decay: float, device: torch.device, size: int) -> Chunks:
    """Return empty sums: of ΞᵀΞ where lag decay leaves few columns, else a factor with `size` directions."""
    weights = LagWeights.of(decay)
    if weights.lags is not None and weights.lags * (features + center) <= GRAM_COLUMNS:
        return GramChunks(features, center, weights, device)
    return FactorChunks(features, center, weights, device, size)
