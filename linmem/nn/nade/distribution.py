"""Joint distributions over frames: a mixture of NADE chains in different orders of the notes, with equal weights.

    p(v) = 1/O Σ_o p_o(v)

Probabilities are averaged, so -log p(v) is an exact negative log-likelihood; one chain is the plain NADE.

Symbols: O orders, M frames, D notes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from linmem.nn.nade.chain import Chain
from linmem.nn.nade.joint_sampling import Marginals, Voices


@dataclass(frozen=True)
class FrameDistribution:
    """A joint distribution over binary frames for each of (…,) positions; it is indexed like a tensor of positions.

    Parameters
    ----------
    chains : tuple of Chain
        One per order of the notes.
    """

    chains: tuple[Chain, ...]

    def __getitem__(self, index: Any) -> FrameDistribution:
        """Return the distributions at some positions."""
        return FrameDistribution(tuple(chain[index] for chain in self.chains))

    def __len__(self) -> int:
        return len(self.note_bias)

    @property
    def note_bias(self) -> Tensor:
        """Biases b of the notes (…, D) in the first chain."""
        return self.chains[0].note_bias

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.note_bias.device

    def float(self) -> FrameDistribution:
        """Return the distributions with parameters in float32."""
        return self._convert(lambda x: x.float())

    def cpu(self) -> FrameDistribution:
        """Return the distributions with parameters on the CPU."""
        chains = self._convert(lambda x: x.cpu()).chains
        orders = (None if chain.order is None else chain.order.cpu() for chain in chains)
        return FrameDistribution(
            tuple(replace(chain, order=order) for chain, order in zip(chains, orders, strict=True))
        )

    def nll(self, frames: Tensor) -> Tensor:
        """Exact negative log-likelihood (…,) of frames (…, D) in nats."""
        each = self._chain_nll(frames)
        if len(self.chains) == 1:
            return each[0]
        return math.log(len(self.chains)) - torch.logsumexp(-each, 0)

    def training_loss(self, frames: Tensor) -> Tensor:
        """Mean over the chains of their NLL (…,), an upper bound of `nll` that trains every chain by itself."""
        return self._chain_nll(frames).mean(0)

    def sample(
        self,
        given: Tensor | None = None,
        voices: Voices | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Sample frames (…, D): draw a chain, then the notes in its order.

        Parameters
        ----------
        given : Tensor, optional
            (…, D), NaN where a note is sampled. The chain is drawn with equal probabilities whatever is given; exact
            for given notes that come first in the order of a single chain. See `sample_given` otherwise.
        voices : Voices, optional
            Temperature, top-p and number of voices, applied to the chain that was drawn.
        generator : torch.Generator, optional
        """
        rows = self.rows()
        count, shape = len(rows.note_bias), self.note_bias.shape
        given = None if given is None else self._in_rows("given", given)
        if len(self.chains) == 1:
            return rows.chains[0].sample(given, voices, generator).view(shape)
        device = self.device if generator is None else generator.device
        drawn = torch.randint(len(self.chains), (count,), generator=generator, device=device).to(self.device)
        frames = torch.zeros_like(rows.note_bias)
        for index, chain in enumerate(rows.chains):
            chosen = (drawn == index).nonzero()[:, 0]
            known = None if given is None else given[chosen]
            frames[chosen] = chain[chosen].sample(known, voices, generator)
        return frames.view(shape)

    def marginals(self, n_samples: int = 100, generator: torch.Generator | None = None) -> Marginals:
        """Estimate the marginal probabilities (…, D) of the notes, with their standard errors.

        Each chain takes its share of the samples, at least two.
        """
        rows, count = self.rows(), len(self.chains)
        if n_samples < 2:
            raise ValueError(f"n_samples must be at least 2 for a standard error, got {n_samples}. Raise it.")
        share = max(2, -(-n_samples // count))
        estimates = [chain.marginals(share, generator) for chain in rows.chains]
        mean = torch.stack([estimate.probability for estimate in estimates]).mean(0)
        error = torch.stack([estimate.standard_error for estimate in estimates]).square().sum(0).sqrt() / count
        return Marginals(mean.view(self.note_bias.shape), error.view(self.note_bias.shape))

    def only(self, descending: bool) -> FrameDistribution | None:
        """Return the first chain whose order is descending, or ascending, as a distribution; None without one."""
        found = (chain for chain in self.chains if (chain.order is not None) == descending)
        chain = next(found, None)
        return None if chain is None else FrameDistribution((chain,))

    def sample_below(
        self,
        given: Tensor,
        voices: Voices | None = None,
        generator: torch.Generator | None = None,
        candidates: int = 32,
    ) -> Tensor:
        """Sample one frame (D,) of a single position given its highest note.

        Parameters
        ----------
        given : Tensor
            (D,): 0 above the highest note, 1 at it, NaN below.
        voices : Voices, optional
            As in `sample`.
        generator : torch.Generator, optional
        candidates : int
            With two orders: frames sampled by the descending chain, which conditions on the note exactly; one of them
            is drawn with weights p(v) / p_descending(v), so that the draw follows the mixture given the note, exactly
            in the limit of many candidates.

        Raises
        ------
        ValueError
            No chain is descending.
        """
        descending = self.only(descending=True)
        if descending is None:
            raise ValueError("the distribution must have a descending chain, got none. Use note_order descending.")
        if len(self.chains) == 1:
            return self.sample(given, voices, generator)
        many = [0] * candidates
        frames = descending[None][many].sample(given.expand(candidates, -1), voices, generator)
        weight = descending[None][many].nll(frames) - self[None][many].nll(frames)
        share = torch.softmax(weight.double(), 0)
        device = share.device if generator is None else generator.device
        return frames[int(torch.multinomial(share.to(device), 1, generator=generator))]

    def rows(self) -> FrameDistribution:
        """Return the distributions with all positions in one dimension, (M,)."""
        return FrameDistribution(tuple(chain.rows() for chain in self.chains))

    def _chain_nll(self, frames: Tensor) -> Tensor:
        rows, flat = self.rows(), self._in_rows("frames", frames)
        return torch.stack([chain.nll(flat).view(frames.shape[:-1]) for chain in rows.chains])

    def _in_rows(self, name: str, frames: Tensor) -> Tensor:
        """Frames (…, D) with all positions in one dimension, (M, D); ``ValueError`` unless they have our shape."""
        if frames.shape != self.note_bias.shape:
            raise ValueError(
                f"{name} must have the shape of the distributions, {tuple(self.note_bias.shape)}, "
                f"got {tuple(frames.shape)}. Put the positions into the order of the distributions, the notes last."
            )
        return frames.reshape(-1, frames.shape[-1])

    def _convert(self, function: Callable[[Tensor], Tensor]) -> FrameDistribution:
        return FrameDistribution(tuple(chain.convert(function) for chain in self.chains))
