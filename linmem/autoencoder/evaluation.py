"""The relative reconstruction error of a fitted autoencoder on sequences: ‖Ξ − YΩᵀ‖² / ‖Ξ‖², without building Ξ.

Symbols: a features, p memory units, L lags, γ lag decay.
"""

import torch
from torch import Tensor

from linmem.autoencoder.coding import encode
from linmem.autoencoder.decoders.least_squares import Moments, error, lag_errors, moments
from linmem.autoencoder.history.in_memory import InMemoryHistory
from linmem.autoencoder.history.operator import lag_weights
from linmem.autoencoder.history.sources import scale_factor
from linmem.autoencoder.history.survey import Survey
from linmem.autoencoder.solution import ClosedForm

COLUMNS = 16  # of one correlation


def relative_error(
    solution: ClosedForm, sequences: list[Tensor], mean: Tensor | None, weighted: bool, per_lag: bool
) -> float | Tensor:
    """Return the error, or with `per_lag` the (L,) errors of each lag relative to its own energy.

    Features that are zero throughout these sequences cost nothing. With γ < 1 there are at most `solution.lags` lags.
    """
    factor = scale_factor(max(float(sequence.abs().max()) for sequence in sequences))
    if factor != 1:
        sequences = [sequence.to(torch.float64) * factor for sequence in sequences]
        mean = None if mean is None else mean * factor
    features = solution.A.shape[1]
    survey = Survey.of(sequences, features, sequences[0].device)
    active = survey.active() if mean is None else list(range(features))
    decay = solution.decay
    lags = survey.longest if decay == 1 else min(survey.longest, solution.lags)
    history = InMemoryHistory(sequences, lags=lags, mean=mean, features=active, decay=decay if weighted else 1.0)
    blocks = solution.blocks(lags)
    if decay == 1:
        known = moments(history, solution.A[:, active], solution.B)
    else:
        known = state_moments(history, sequences, solution, mean)
        blocks = blocks * lag_weights(lags, history.decay, blocks.device)[:, None, None]
    cross = known.cross.new_zeros(lags, features, len(solution.A))
    cross[:, active] = known.cross
    known = known._replace(cross=cross)
    if not per_lag:
        return error(known, blocks)
    energy = history.lag_energy()
    errors = lag_errors(known, blocks, energy)
    return torch.where(energy > 0, errors / energy.clamp_min(1e-300), errors)


def state_moments(
    history: InMemoryHistory, sequences: list[Tensor], solution: ClosedForm, mean: Tensor | None
) -> Moments:
    """ΞᵀY and YᵀY of the states that the recurrence gives, which remember more than the lags of the history."""
    states = torch.cat(encode([sequence.to(torch.float64) for sequence in sequences], solution.A, solution.B, mean))
    parts = [history.rematvec(part) for part in states.split(COLUMNS, 1)]
    cross = torch.cat(parts, 2)
    return Moments(history.energy, cross, cross, states.T @ states)
