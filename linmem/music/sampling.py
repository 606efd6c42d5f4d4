"""Sampling one frame of a piano roll from the logits of its notes.

    P(frame) ∝ Π_j exp(z_j x_j / temperature),   x ∈ {0, 1}^a,   Σ_j x_j = voices or Σ_j x_j ≤ max_voices if given

A restricted number of notes is sampled exactly from this conditional distribution, by the elementary symmetric
polynomials of the odds [Chen & Liu 1997, "Statistical applications of the Poisson-binomial and conditional Bernoulli
distributions"].

Symbols: a notes, z logits, V voices.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


@dataclass(frozen=True)
class SamplingOptions:
    """Options of sampling.

    Parameters
    ----------
    temperature : float
        Divides the logits: below 1 less random, above 1 more; near 0 the most probable frame.
    top_p : float
        In (0, 1]: an outcome is only sampled if it belongs to the most probable outcomes of total probability `top_p`.
        1 samples from all. An outcome is a note that is active or not; with a NADE, the next note of a chord.
    voices : int, optional
        Exact number of simultaneous notes.
    max_voices : int, optional
        Largest number of simultaneous notes.
    seed : int
        Seed of the sampling: the same seed gives the same frames.

    Examples
    --------
    >>> from linmem.music.sampling import SamplingOptions
    >>> SamplingOptions(temperature=0.8, top_p=0.95, voices=4).seed
    0
    """

    temperature: float = 1.0
    top_p: float = 1.0
    voices: int | None = None
    max_voices: int | None = None
    seed: int = 0


DEFAULTS = SamplingOptions()


def check_options(options: SamplingOptions, notes: int) -> None:
    """Raise ValueError unless all options are in range for frames of `notes` notes."""
    if not options.temperature > 0:
        raise ValueError(f"temperature must be above 0, got {options.temperature}. Use 1 for the model's distribution.")
    if not 0 < options.top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, got {options.top_p}. Use 1 to keep all outcomes.")
    if options.voices is not None and options.max_voices is not None:
        raise ValueError("voices must not be given together with max_voices, got both. Leave one of them out.")
    for name in ("voices", "max_voices"):
        value = getattr(options, name)
        if value is not None and not 1 <= value <= notes:
            raise ValueError(f"{name} must be from 1 to the number of notes ({notes}), got {value}. Change {name}.")


def sample_frame(logits: Tensor, options: SamplingOptions, generator: torch.Generator) -> Tensor:
    """Sample one frame.

    Parameters
    ----------
    logits : Tensor
        (a,), on the CPU.
    options : SamplingOptions
        Temperature, nucleus and number of notes.
    generator : torch.Generator
        Source of randomness, on the CPU.

    Returns
    -------
    Tensor
        (a,) bool.

    Examples
    --------
    >>> logits = torch.tensor([3.0, -1.0, 0.0, 2.0])
    >>> sample_frame(logits, SamplingOptions(temperature=1e-6, voices=2), torch.Generator())
    tensor([ True, False, False,  True])
    """
    z = logits.double() / options.temperature
    if options.top_p < 1:  # of the two outcomes of a note, the less probable one at 1 - top_p or less is left out
        unlikely = torch.logit(torch.tensor(min(1 - options.top_p, 0.5), dtype=torch.float64))
        z = torch.where(z <= unlikely, -torch.inf, torch.where(-z <= unlikely, torch.inf, z))
    if options.voices is None and options.max_voices is None:
        return torch.rand(z.shape, generator=generator, dtype=torch.float64) < torch.sigmoid(z)
    z = _finite(z, logits.double() / options.temperature)
    if options.voices is not None:
        return _sample_count(z, options.voices, generator)
    limit = options.max_voices or len(z)
    weights = _log_polynomials(z)[0, : limit + 1] + logsigmoid(-z).sum()
    count = int(torch.multinomial(torch.softmax(weights, 0), 1, generator=generator))
    return _sample_count(z, count, generator)


def _finite(z: Tensor, original: Tensor) -> Tensor:
    """Replace the infinite logits of the nucleus by finite ones that dominate, in the order of the original logits."""
    margin = 2 * original.abs().max() + 100
    return torch.where(torch.isinf(z), original + torch.sign(z) * margin, z)


def _log_polynomials(z: Tensor) -> Tensor:
    """(a + 1, a + 1): log of the elementary symmetric polynomial of degree k in the odds of the notes j …, a."""
    table = torch.full((len(z) + 1, len(z) + 1), -torch.inf, dtype=torch.float64)
    table[:, 0] = 0
    for j in range(len(z) - 1, -1, -1):
        table[j, 1:] = torch.logaddexp(table[j + 1, 1:], z[j] + table[j + 1, :-1])
    return table


def _sample_count(z: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Sample exactly `count` notes: note j is active with probability odds_j e_{k−1}(j+1 …) / e_k(j …)."""
    table = _log_polynomials(z)
    active = torch.zeros(len(z), dtype=torch.bool)
    uniform = torch.rand(z.shape, generator=generator, dtype=torch.float64)
    for j in range(len(z)):
        if count == 0:
            break
        log_probability = z[j] + table[j + 1, count - 1] - table[j, count]
        if uniform[j].log() < log_probability or len(z) - j == count:
            active[j] = True
            count -= 1
    return active
