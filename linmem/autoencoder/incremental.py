"""What `partial_fit` keeps of chunks it will not see again: a factor R with RᵀR ≈ ΞᵀΞ.

ΞᵀΞ is a sum over chunks, and everything after the solver needs only it. While Ξ has few columns, R is the triangular
factor of a QR decomposition, updated by the rows of each chunk and exact to rounding, so that the way the data was
cut does not matter. With many columns only the leading `size` directions of the sum are carried, R = S Uᵀ; what is
cut off then is the energy beyond them. ‖Ξ‖² itself is always exact.

Centring cannot be done chunk by chunk, the mean is not known yet: the sketch is of the sequences with a constant
feature 1 appended, and `Centred` subtracts mean times that feature, column by column.

Letters: n = L·a columns, k rows of R.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from linmem.autoencoder.history.in_memory import Gram, History
from linmem.autoencoder.history.survey import Survey
from linmem.autoencoder.solvers import Randomized

DENSE_COLUMNS = 2000  # a QR decomposition of so many columns takes 0.3 s a chunk
ROWS = 4000  # rows taken into the triangular factor at once


class Sum:
    """The Gram matrix of several sets of rows together."""

    def __init__(self, parts: Sequence[Gram]) -> None:
        self.parts = parts
        self.lags, self.features, self.device = parts[0].lags, parts[0].features, parts[0].device
        self.rows, self.block = sum(part.rows for part in parts), max(part.block for part in parts)
        self.energy: float = sum(part.energy for part in parts)

    def gram(self, block: Tensor) -> Tensor:
        """Return the sum of the parts' Ξᵀ Ξ Z."""
        total = self.parts[0].gram(block)
        for part in self.parts[1:]:
            total += part.gram(block)
        return total


class Sketch:
    """R, and the exact sums over steps that the mean and the energies need."""

    block = 64

    def __init__(self, features: int, size: int, device: torch.device) -> None:
        self.features, self.size, self.device = features, size, device
        self.survey = Survey.empty(features, device)
        self.factor = torch.zeros(0, features, dtype=torch.float64, device=device)  # (k, L·a)

    @property
    def lags(self) -> int:
        """The longest length so far, L."""
        return self.factor.shape[1] // self.features

    @property
    def rows(self) -> int:
        """All steps so far, N."""
        return self.survey.rows

    @property
    def energy(self) -> float:
        """‖Ξ‖², exact."""
        return self.survey.energy()

    def dense(self) -> Tensor:
        """Return R, which has the singular values and right vectors of Ξ."""
        return self.factor

    def gram(self, block: Tensor) -> Tensor:
        """Return RᵀR Z."""
        flat = block.flatten(0, 1)
        return (self.factor.T @ (self.factor @ flat)).view_as(block)

    def update(self, sequences: Sequence[Tensor], generator: torch.Generator) -> None:
        """Take in a chunk of checked (T_i, a) sequences."""
        self.survey += Survey.of(sequences, self.features, self.device)
        new = (self.survey.lags - self.lags) * self.features  # longer sequences came: all rows so far are zero there
        self.factor = torch.nn.functional.pad(self.factor, (0, new))
        history = History(sequences, lags=self.lags)
        if self.lags * self.features <= DENSE_COLUMNS:
            self._take_rows(history)
        else:
            self._take_directions(history, generator)

    def _take_rows(self, history: History) -> None:
        pending: list[Tensor] = [self.factor]
        for index in range(len(history.sequences)):
            pending.append(History(history.sequences[index : index + 1], lags=self.lags).dense())
            if sum(len(rows) for rows in pending) > ROWS:
                pending = [torch.linalg.qr(torch.cat(pending), mode="r").R]
        self.factor = torch.linalg.qr(torch.cat(pending), mode="r").R

    def _take_directions(self, history: History, generator: torch.Generator) -> None:
        spectrum = Randomized()(Sum([self, history]) if len(self.factor) else history, self.size, generator)
        self.factor = spectrum.singular_values[:, None] * spectrum.right_vectors.flatten(0, 1).T


class Centred:
    """The history of x − mean, seen through a sketch of [x, 1]: block i is that of x less mean times that of 1."""

    block = 64

    def __init__(self, sketch: Sketch) -> None:
        self.sketch = sketch
        self.lags, self.features = sketch.lags, sketch.features - 1
        self.rows, self.device = sketch.rows, sketch.device
        self.mean = sketch.survey.mean[:-1]
        self.energy = sketch.survey.energy(torch.cat([self.mean, self.mean.new_ones(1)]))  # the constant 1 adds nothing

    def dense(self) -> Tensor:
        """Return R of the centred history."""
        factor = self.sketch.dense().view(-1, self.lags, self.sketch.features)
        return (factor[:, :, :-1] - factor[:, :, -1:] * self.mean).flatten(1)

    def gram(self, block: Tensor) -> Tensor:
        """Return Ξᵀ Ξ Z of the centred history."""
        raised = torch.cat([block, -(self.mean @ block)[:, None]], 1)
        image = self.sketch.gram(raised)
        return image[:, :-1] - self.mean[None, :, None] * image[:, -1:]
