"""A batch of restricted Boltzmann machines with one weight matrix and separate biases for every frame.

    p(v) = exp(−F(v)) / Z,   F(v) = −b_vᵀ v − Σ_j log(1 + exp(b_h + W v)_j)                            [B12]

Units are 0 or 1. Z is a sum over 2^h states: enumerated for few units, else estimated by annealed importance sampling
[Salakhutdinov & Murray, ICML 2008], starting from the machine with W = 0 and b_h = 0, whose Z is known, through

    p_β(v) ∝ exp(b_vᵀ v) Π_j (1 + exp β(b_h + W v)_j),     β from 0 to 1.

Symbols: M frames, v visible and h hidden units, k Gibbs steps, C chains.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

ENUMERABLE = 20  # largest number of units on the smaller side: a million states


class RBM(NamedTuple):
    """M machines that share a weight matrix."""

    weight: Tensor  # (h, v)
    visible_bias: Tensor  # (M, v)
    hidden_bias: Tensor  # (M, h)


class Estimate(NamedTuple):
    """An estimate and its standard error."""

    value: Tensor  # (M,)
    error: Tensor  # (M,)


def free_energy(rbm: RBM, visible: Tensor) -> Tensor:
    """Free energy F(v) = −log p(v) − log Z, shape (M,), of visible states (M, v)."""
    return -(visible * rbm.visible_bias).sum(-1) - F.softplus(_drive(rbm, visible)).sum(-1)


@torch.no_grad()
def gibbs(rbm: RBM, visible: Tensor, steps: int, generator: torch.Generator | None = None, beta: float = 1.0) -> Tensor:
    """Run `steps` of block Gibbs sampling at inverse temperature β; takes and returns visible states (M, v)."""
    for _ in range(steps):
        visible, _ = gibbs_step(rbm, visible, generator, beta)
    return visible


def gibbs_step(
    rbm: RBM, visible: Tensor, generator: torch.Generator | None = None, beta: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Run one step of block Gibbs sampling; returns visible states and their probabilities, both (M, v)."""
    hidden = _bernoulli(torch.sigmoid(beta * _drive(rbm, visible)), generator)
    probability = torch.sigmoid(rbm.visible_bias + beta * (hidden @ rbm.weight))
    return _bernoulli(probability, generator), probability


def contrastive_divergence(rbm: RBM, visible: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
    """Surrogate of CD-k, Σ F(v) − F(v after k Gibbs steps), of data (M, v).

    Its gradient, with the samples held fixed, is the update of contrastive divergence; its value has no meaning.
    """
    samples = gibbs(rbm, visible, steps, generator)
    return (free_energy(rbm, visible) - free_energy(rbm, samples)).sum()


def log_partition(rbm: RBM) -> Tensor:
    """Compute log Z (M,) exactly, by enumerating the 2^min(v, h) states of the smaller side.

    Raises
    ------
    ValueError
        More than 20 units on the smaller side.

    Examples
    --------
    >>> rbm = RBM(torch.zeros(2, 3), torch.zeros(1, 3), torch.zeros(1, 2))
    >>> log_partition(rbm).exp()  # all 2^5 states have weight 1
    tensor([32.])
    """
    h, v = rbm.weight.shape
    if min(h, v) > ENUMERABLE:
        raise ValueError(
            f"the smaller side must have at most {ENUMERABLE} units, got {v} visible and {h} hidden ones."
            " Use annealed_log_partition."
        )
    few, many, weight = rbm.hidden_bias, rbm.visible_bias, rbm.weight
    if v < h:
        few, many, weight = many, few, weight.T
    digits = torch.arange(len(weight), device=weight.device)
    states = ((torch.arange(2 ** len(weight), device=weight.device)[:, None] >> digits) & 1).to(weight)
    drive = states @ weight
    return torch.stack(
        [torch.logsumexp(states @ b + F.softplus(c + drive).sum(-1), 0) for b, c in zip(few, many, strict=True)]
    )


@torch.no_grad()
def annealed_log_partition(
    rbm: RBM, *, chains: int = 100, temperatures: int = 1000, generator: torch.Generator | None = None
) -> Estimate:
    """Estimate log Z by annealed importance sampling.

    Parameters
    ----------
    rbm : RBM
        M machines.
    chains : int
        C independent runs per machine, at least 2. The error falls with √C.
    temperatures : int
        Steps of β from 0 to 1. More steps reduce the variance of each run.
    generator : Generator, optional
        Of all samples.

    Returns
    -------
    Estimate
        log Z (M,) with its standard error over the chains.

    Notes
    -----
    Costs M · C · temperatures · v · h. The mean weight of the chains is an unbiased estimate of Z, so its logarithm
    is low on average, by about error² / 2.
    """
    if chains < 2 or temperatures < 1:
        raise ValueError(f"chains must be at least 2 and temperatures at least 1, got {chains} and {temperatures}.")
    rows = len(rbm.visible_bias)
    many = RBM(rbm.weight, rbm.visible_bias.repeat(chains, 1), rbm.hidden_bias.repeat(chains, 1))
    visible = _bernoulli(torch.sigmoid(many.visible_bias), generator)
    log_weight = torch.zeros_like(many.visible_bias[:, 0])
    betas = torch.linspace(0, 1, temperatures + 1).tolist()
    for cold, warm in zip(betas[1:], betas, strict=False):
        drive = _drive(many, visible)
        log_weight += (F.softplus(cold * drive) - F.softplus(warm * drive)).sum(-1)
        visible = gibbs(many, visible, 1, generator, cold)
    log_weight = log_weight.view(chains, rows)
    weight = (log_weight - log_weight.max(0).values).exp()
    base = F.softplus(rbm.visible_bias).sum(-1) + rbm.hidden_bias.shape[1] * math.log(2)
    value = base + torch.logsumexp(log_weight, 0) - math.log(chains)
    return Estimate(value, weight.std(0) / weight.mean(0) / math.sqrt(chains))


def _drive(rbm: RBM, visible: Tensor) -> Tensor:
    return rbm.hidden_bias + visible @ rbm.weight.T


def _bernoulli(probability: Tensor, generator: torch.Generator | None) -> Tensor:
    uniform = torch.rand(probability.shape, generator=generator, dtype=probability.dtype, device=probability.device)
    return (uniform < probability).to(probability)
