"""The history matrix of sequences held in memory, as an operator that is not built.

Ξ Z is a causal convolution, (Ξ Z)_t = Σ_i γ^i Z_iᵀ x_{t-i}, and Ξᵀ Y a correlation, (Ξᵀ Y)_i = γ^i Σ_t x_{t-i} y_tᵀ, so
both cost N log T by Fourier transforms. The product Z ↦ Ξᵀ(Ξ Z) and the energy ‖Ξ‖² are sums over sequences, hence over
chunks of a stream and over workers.

Symbols: N steps of all sequences, a features, L lags, γ lag decay, q columns of a block Z (L, a, q), T steps of a
group. [P14] sec. 3.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from linmem.autoencoder.history import fourier, gram_matrix
from linmem.autoencoder.history.batches import BLOCK, Group, make_groups
from linmem.autoencoder.history.operator import HistoryOperator, lag_weights
from linmem.autoencoder.history.precomputed import GramHistory
from linmem.sequences import pad, valid_mask

KEPT_BYTES = 2_000_000_000


class Transformed(NamedTuple):
    """One batch, padded to the steps of its group."""

    spectrum: Tensor  # (F, B, a) complex128
    mask: Tensor  # (T, B, 1) float64, 0 after a sequence's last step: Ξ has no such rows


class InMemoryHistory(HistoryOperator):
    """Ξ of sequences held in memory, in float64 for any input dtype.

    Parameters
    ----------
    sequences : list of (T_i, a) tensors
        As `linmem.sequences.check_sequences` returns them; they are read only.
    lags : int, optional
        L, by default the longest length. Columns beyond the longest length are zero; older lags are left out.
    mean : (a,) tensor, optional
        Subtracted from every step (the zeros before a sequence's start stay zeros).
    features : sequence of int, optional
        Keep these features only.
    decay : float
        γ in (0, 1]: lag i is weighted by γ^i.
    keep : bool, optional
        Keep the spectra of the sequences, about 20 bytes for each of their N a numbers, from one product to the next;
        by default while they take at most 2 GB.

    Notes
    -----
    A product with a block of q columns costs about N a q multiplications and (N + a Σ T) q log T for the transforms,
    the sum over groups of similar length.
    """

    provides = frozenset({"dense", "gram", "matvec", "sequences"})

    def __init__(
        self,
        sequences: Sequence[Tensor],
        *,
        lags: int | None = None,
        mean: Tensor | None = None,
        features: Sequence[int] | None = None,
        decay: float = 1.0,
        keep: bool | None = None,
    ) -> None:
        self._sequences = sequences
        self.lengths = [len(sequence) for sequence in sequences]
        self.longest = max(self.lengths, default=1)
        self.lags = self.longest if lags is None else lags
        self.decay = decay
        self.mean = None if mean is None else mean.to(torch.float64)
        self.index = None if features is None else list(features)
        self.features = sequences[0].shape[1] if self.index is None else len(self.index)
        self.rows = sum(self.lengths)
        self.device = sequences[0].device
        self.energy = float(self.lag_energy().sum())
        self.keep = 20 * self.rows * self.features <= KEPT_BYTES if keep is None else keep
        self._gram: Tensor | None = None
        self._groups: list[Group] | None = None
        self._transformed: dict[int, Transformed] = {}

    def sequence(self, index: int) -> Tensor:
        """(T_i, a) float64: one sequence, centred and with the kept features only."""
        values = self._sequences[index].to(torch.float64)
        values = values if self.mean is None else values - self.mean
        return values if self.index is None else values[:, self.index]

    def sequences(self) -> Iterator[Tensor]:
        """Yield each sequence as `sequence` gives it."""
        return (self.sequence(index) for index in range(len(self._sequences)))

    def weights(self) -> Tensor:
        """(L,) γ^i."""
        return lag_weights(self.lags, self.decay, self.device)

    def lag_energy(self) -> Tensor:
        """(L,) squared norm of each lag's columns; x_s stands at lags 0 … T − s, so a reversed running sum."""
        total = torch.zeros(self.lags, dtype=torch.float64, device=self.device)
        for values in self.sequences():
            total[: len(values)] += values.square().sum(1).cumsum(0).flip(0)[: self.lags]
        return total if self.decay == 1 else total * self.weights().square()

    def dense(self) -> Tensor:
        """(N, L·a): Ξ itself, rows in the order of the sequences."""
        return self.columns(0, self.lags)

    def columns(self, start: int, stop: int) -> Tensor:
        """(N, (stop − start)·a): the columns of lags start … stop − 1."""
        out = torch.zeros(self.rows, stop - start, self.features, dtype=torch.float64, device=self.device)
        row = 0
        for values in self.sequences():
            for lag in range(start, min(stop, len(values))):
                out[row + lag : row + len(values), lag - start] = values[: len(values) - lag]
            row += len(values)
        if self.decay != 1:
            out *= self.weights()[start:stop, None]
        return out.flatten(1)

    def matvec(self, block: Tensor) -> Tensor:
        """Return Ξ Z, (N, q), of Z (L, a, q)."""
        out = block.new_zeros(self.rows, block.shape[2])
        views = out.split(self.lengths)
        block = self._weighted(block)
        for group in self.groups():
            spectrum = fourier.forward(block[: group.steps], group.transform)
            for batch in group.batches:
                inputs = self._transform(group, batch).spectrum
                states = fourier.backward(fourier.product(inputs, spectrum), group.transform, group.steps)
                for column, index in enumerate(batch):
                    views[index].copy_(states[: self.lengths[index], column])
        return out

    def rematvec(self, states: Tensor) -> Tensor:
        """Return Ξᵀ Y, (L, a, q), of Y (N, q)."""
        out = torch.zeros(self.lags, self.features, states.shape[1], dtype=torch.float64, device=self.device)
        views = states.split(self.lengths)
        for group in self.groups():
            steps = min(group.steps, self.lags)
            for batch in group.batches:
                padded = states.new_zeros(group.steps, len(batch), out.shape[2])
                for column, index in enumerate(batch):
                    padded[: self.lengths[index], column] = views[index]
                inputs = self._transform(group, batch).spectrum
                correlation = fourier.adjoint_product(inputs, fourier.forward(padded, group.transform))
                out[:steps] += fourier.backward(correlation, group.transform, steps)
        return self._weighted(out)

    def gram_matvec(self, block: Tensor) -> Tensor:
        """Return Ξᵀ(Ξ Z) of Z (L, a, q), a few columns at a time, or from `gram` where that is known."""
        if self._gram is not None:
            return (self._gram @ block.flatten(0, 1)).view_as(block)
        block, out = self._weighted(block), torch.zeros_like(block)
        for start in range(0, block.shape[2], BLOCK):
            columns = slice(start, start + BLOCK)
            for group in self.groups():
                steps = min(group.steps, self.lags)
                out[:steps, :, columns] += self._group_gram(group, block[:steps, :, columns])
        return self._weighted(out)

    def gram(self) -> Tensor:
        """Return ΞᵀΞ, computed once; every later product uses it."""
        if self._gram is None:
            self._gram = gram_matrix.gram_matrix(list(self.sequences()), self.lags, self.longest)
            gram_matrix.weight_lags_(self._gram, self.lags, self.decay)
        return self._gram

    def unweighted(self) -> "InMemoryHistory":
        """Return the history of the same lags with γ = 1."""
        return InMemoryHistory(self._sequences, lags=self.lags, mean=self.mean, features=self.index, keep=self.keep)

    def precompute(self) -> GramHistory:
        """Return the history of ΞᵀΞ."""
        return GramHistory(self.gram(), self.lags, self.rows, self.decay)

    def groups(self) -> list[Group]:
        """Sequences in batches of similar length."""
        if self._groups is None:
            self._groups = make_groups(self.lengths, self.features, self.lags)
        return self._groups

    def _weighted(self, block: Tensor) -> Tensor:
        return block if self.decay == 1 else block * self.weights()[:, None, None]

    def _transform(self, group: Group, members: list[int]) -> Transformed:
        if members[0] in self._transformed:
            return self._transformed[members[0]]
        padded = pad([self.sequence(index) for index in members])
        spectrum = fourier.forward(padded.values.transpose(0, 1).contiguous(), group.transform)
        found = Transformed(spectrum, valid_mask(padded.lengths, group.steps).T[:, :, None].to(torch.float64))
        if self.keep:
            self._transformed[members[0]] = found
        return found

    def _group_gram(self, group: Group, block: Tensor) -> Tensor:
        spectrum = fourier.forward(block, group.transform)
        total: Tensor | None = None
        for batch in group.batches:
            inputs, mask = self._transform(group, batch)
            states = fourier.backward(fourier.product(inputs, spectrum), group.transform, group.steps)
            part = fourier.adjoint_product(inputs, fourier.forward(states.mul_(mask), group.transform))
            total = part if total is None else total.add_(part)
        assert total is not None
        return fourier.backward(total, group.transform, len(block))
