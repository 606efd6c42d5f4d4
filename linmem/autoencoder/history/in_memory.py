"""The history matrix of a set of sequences, as an operator that is never built.

Row t of Ξ (N × L·a) is [x_t, x_{t-1}, …, x_1, 0, …]: everything the sequence has shown up to step t, newest first. Ξ
Z is a causal convolution, (Ξ Z)_t = Σ_i Z_iᵀ x_{t-i}, and Ξᵀ Y a correlation, (Ξᵀ Y)_i = Σ_t x_{t-i} y_tᵀ, so both
cost N log T by Fourier transforms. All that a solver and a decoder ever need is the product with the Gram matrix, Z ↦
Ξᵀ(Ξ Z), and the energy ‖Ξ‖²; both are sums over sequences, hence over chunks of a stream and over workers.

Letters: N steps of all sequences, a features, L the longest length, q columns of a block Z (L, a, q), T steps of a
group. [P14] sec. 3.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from linmem.autoencoder.history import fourier
from linmem.sequences import pad, valid_mask

BLOCK = 16  # columns transformed at once: a (3457, 88, 16) spectrum takes 78 MB
KEPT_BYTES = 2_000_000_000
BATCH_NUMBERS = 4_000_000  # at most so many real numbers in one transformed batch of states: 32 MB
TRANSFORM_COST, PRODUCT_COST = 1.25, 0.067  # ns a number (times log2 n) and a multiplication, measured on one core


class Gram(Protocol):
    """What solvers and decoders know of the data: the Gram matrix ΞᵀΞ as an operator, and its trace."""

    @property
    def lags(self) -> int:
        """The longest length L."""

    @property
    def features(self) -> int:
        """The input size a."""

    @property
    def rows(self) -> int:
        """All steps N."""

    @property
    def energy(self) -> float:
        """‖Ξ‖²."""

    @property
    def device(self) -> torch.device:
        """Where blocks live."""

    @property
    def block(self) -> int:
        """Columns that one product takes at best: few in memory, more where each product costs a pass or a message."""

    def gram(self, block: Tensor) -> Tensor:
        """Return Ξᵀ(Ξ Z) of Z (L, a, q), float64, the same shape."""
        ...


@dataclass(frozen=True)
class Group:
    """Batches of sequences that share one transform length."""

    steps: int
    transform: int
    batches: list[list[int]]


class Transformed(NamedTuple):
    """One batch, padded to the steps of its group."""

    spectrum: Tensor  # (F, B, a) complex128
    mask: Tensor  # (T, B, 1) float64, 0 after a sequence's last step: Ξ has no such rows


class History:
    """Ξ of sequences held in memory, in float64 whatever the input.

    Parameters
    ----------
    sequences : list of (T_i, a) tensors
        Checked ones, see `linmem.sequences.check_sequences`; they are read only.
    lags : int, optional
        L, at least the longest length; columns beyond it are zero.
    mean : (a,) tensor, optional
        Subtracted from every step (the zeros before a sequence's start stay zeros).
    features : sequence of int, optional
        Keep these features only.
    keep : bool, optional
        Keep the spectra of the sequences, about 20 bytes for each of their N a numbers, from one product to the next;
        by default while they take at most 2 GB.

    Notes
    -----
    A product with a block of q columns costs about N a q multiplications and (N + a Σ T) q log T for the transforms,
    the sum over groups of similar length.
    """

    block = 16

    def __init__(
        self,
        sequences: Sequence[Tensor],
        *,
        lags: int | None = None,
        mean: Tensor | None = None,
        features: Sequence[int] | None = None,
        keep: bool | None = None,
    ) -> None:
        self.sequences = sequences
        self.lengths = [len(sequence) for sequence in sequences]
        self.lags = max(self.lengths, default=1) if lags is None else lags
        if max(self.lengths, default=0) > self.lags:
            raise ValueError(
                f"lags is {self.lags}, but a sequence has {max(self.lengths)} steps: give at least as many"
            )
        self.mean = None if mean is None else mean.to(torch.float64)
        self.index = None if features is None else list(features)
        self.features = sequences[0].shape[1] if self.index is None else len(self.index)
        self.rows = sum(self.lengths)
        self.device = sequences[0].device
        self.energy = float(self.lag_energy().sum())
        self.keep = 20 * self.rows * self.features <= KEPT_BYTES if keep is None else keep
        self.whole: Tensor | None = None  # (L·a, L·a) ΞᵀΞ, where a solver had to have it: then every product is cheap
        self._groups: list[Group] | None = None
        self._transformed: dict[int, Transformed] = {}

    def sequence(self, index: int) -> Tensor:
        """(T_i, a) float64: the sequence as Ξ sees it, centred and with its kept features."""
        values = self.sequences[index].to(torch.float64)
        values = values if self.mean is None else values - self.mean
        return values if self.index is None else values[:, self.index]

    def __iter__(self) -> Iterator[Tensor]:
        """Each sequence in turn, as `sequence` gives it."""
        return (self.sequence(index) for index in range(len(self.sequences)))

    def lag_energy(self) -> Tensor:
        """(L,) squared norm of each lag's columns; x_s stands at lags 0 … T − s, so a reversed running sum."""
        total = torch.zeros(self.lags, dtype=torch.float64, device=self.device)
        for values in self:
            total[: len(values)] += values.square().sum(1).cumsum(0).flip(0)
        return total

    def dense(self) -> Tensor:
        """(N, L·a): Ξ itself, rows in the order of the sequences. The oracle, and the matrix of small problems."""
        return self.columns(0, self.lags)

    def columns(self, start: int, stop: int) -> Tensor:
        """(N, (stop − start)·a): the columns of lags start … stop − 1."""
        out = torch.zeros(self.rows, stop - start, self.features, dtype=torch.float64, device=self.device)
        row = 0
        for values in self:
            for lag in range(start, min(stop, len(values))):
                out[row + lag : row + len(values), lag - start] = values[: len(values) - lag]
            row += len(values)
        return out.flatten(1)

    def apply(self, block: Tensor) -> list[Tensor]:
        """Return Ξ Z of Z (L, a, q) as one (T_i, q) tensor a sequence."""
        out = [block.new_zeros(length, block.shape[2]) for length in self.lengths]
        for group in self.groups():
            spectrum = fourier.forward(block[: group.steps], group.transform)
            for batch in group.batches:
                inputs = self._transform(group, batch).spectrum
                states = fourier.backward(fourier.product(inputs, spectrum), group.transform, group.steps)
                for column, index in enumerate(batch):
                    out[index].copy_(states[: self.lengths[index], column])
        return out

    def adjoint(self, states: Sequence[Tensor]) -> Tensor:
        """Return Ξᵀ Y, (L, a, q), of Y as one (T_i, q) tensor a sequence."""
        out = torch.zeros(self.lags, self.features, states[0].shape[1], dtype=torch.float64, device=self.device)
        for group in self.groups():
            for batch in group.batches:
                padded = states[0].new_zeros(group.steps, len(batch), out.shape[2])
                for column, index in enumerate(batch):
                    padded[: self.lengths[index], column] = states[index]
                inputs = self._transform(group, batch).spectrum
                correlation = fourier.adjoint_product(inputs, fourier.forward(padded, group.transform))
                out[: group.steps] += fourier.backward(correlation, group.transform, group.steps)
        return out

    def gram(self, block: Tensor) -> Tensor:
        """Return Ξᵀ(Ξ Z) of Z (L, a, q), a few columns at a time."""
        if self.whole is not None:
            return (self.whole @ block.flatten(0, 1)).view_as(block)
        out = torch.zeros_like(block)
        for start in range(0, block.shape[2], BLOCK):
            columns = slice(start, start + BLOCK)
            for group in self.groups():
                out[: group.steps, :, columns] += self._group_gram(group, block[: group.steps, :, columns])
        return out

    def groups(self) -> list[Group]:
        """Sequences in batches of similar length."""
        if self._groups is None:
            self._groups = [self._group(members) for members in group_by_cost(self.lengths, self.features)]
        return self._groups

    def _group(self, members: list[int]) -> Group:
        steps = max(self.lengths[index] for index in members)
        transform = fourier.fast_length(steps)
        size = max(1, BATCH_NUMBERS // (transform * BLOCK))
        return Group(steps, transform, [members[start : start + size] for start in range(0, len(members), size)])

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
        return fourier.backward(total, group.transform, group.steps)


def group_by_cost(lengths: Sequence[int], features: int) -> list[list[int]]:
    """Cut the sequences, sorted by length, into groups whose counted work for one column is least.

    A group of B sequences at transform length n costs n (a + B) log n for the transforms of its block and of its
    states, and n a B for the products: long sequences should not pay for short ones' padding, nor short ones for a
    transform of their own. Dynamic programming over the distinct transform lengths, exact for this count.
    """
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    sizes = [fourier.fast_length(lengths[index]) for index in order]
    ends = [i + 1 for i in range(len(sizes)) if i + 1 == len(sizes) or sizes[i + 1] != sizes[i]]  # groups end here
    best, previous = {0: 0.0}, {}
    for end in ends:
        size = sizes[end - 1]
        fixed, each = _cost(size, features)
        best[end], previous[end] = min((best[start] + fixed + (end - start) * each, start) for start in best)
    groups, end = [], len(order)
    while end > 0:
        groups.append(order[previous[end] : end])
        end = previous[end]
    return groups[::-1]


def _cost(size: int, features: int) -> tuple[float, float]:
    transform = TRANSFORM_COST * size * math.log2(size + 1)
    return features * transform, transform + 4 * PRODUCT_COST * features * size
