"""Ridge regression in closed form: the one linear regression that networks, readouts and experiments share.

    min_{W,b} ‖S W + b − Y‖² + ρ s ‖W‖²,   s = mean over the features of Σ_n (S − mean)²

The penalty ρ is relative to the energy s of a feature, so that it means the same for any scale and number of rows.

Symbols: N rows, p features, o outputs, ρ penalty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from linmem.validation import check_number, check_tensor

ROUNDING = 10 * torch.finfo(torch.float64).eps  # of a feature's values after its mean is subtracted, relative to them


class AffineMap(NamedTuple):
    """The map S ↦ S W + b."""

    W: Tensor  # (p, o)
    b: Tensor  # (o,)

    def __call__(self, S: Tensor) -> Tensor:
        """Outputs (N, o) of features (N, p)."""
        return S @ self.W + self.b


def ridge_regression(features: Tensor, targets: Tensor, penalties: Sequence[float]) -> list[AffineMap]:
    """Solve ridge regression for several penalties with one eigendecomposition.

    Parameters
    ----------
    features : Tensor
        S, shape (N, p).
    targets : Tensor
        Y, shape (N, o).
    penalties : sequence of float
        ρ, each at least 0, relative to the mean energy of a feature.

    Returns
    -------
    list of AffineMap
        One float64 map per penalty, in the order of `penalties`. The intercept is not penalized. With penalty 0 the
        map is the one of least norm where features are constant or depend on one another.

    Raises
    ------
    ValueError
        The rows differ in number, a value is NaN or infinite, or a penalty is negative.
    TypeError
        Features or targets are not tensors.

    Notes
    -----
    Costs O(N p² + p³ + N p o), and O(p² o) per penalty. The Gram matrix squares the condition of the features, hence
    float64 for any input dtype.

    Examples
    --------
    >>> S = torch.tensor([[0.0], [1.0], [2.0]])
    >>> (line,) = ridge_regression(S, 3 * S + 1, [0.0])
    >>> line(torch.tensor([[10.0]], dtype=torch.float64)).round(decimals=6)
    tensor([[31.]], dtype=torch.float64)
    """
    check_tensor("features", features, 2)
    check_tensor("targets", targets, 2)
    if len(features) != len(targets) or 0 in (*features.shape, targets.shape[1]):
        raise ValueError(
            f"features and targets must have the same number of rows, and at least one column each, got shapes "
            f"{tuple(features.shape)} and {tuple(targets.shape)}."
        )
    for penalty in penalties:
        check_number("penalty", penalty, least=0)
    S, Y = features.double(), targets.double()
    mean_s, mean_y = S.mean(0), Y.mean(0)
    of_rounding = ROUNDING**2 * S.square().sum(0).mean() + torch.finfo(S.dtype).tiny  # where all features are constant
    S = S - mean_s
    values, vectors = torch.linalg.eigh(S.T @ S)
    cross, energy = vectors.T @ (S.T @ (Y - mean_y)), values.mean().clamp_min(of_rounding)
    maps = []
    for penalty in penalties:
        damping = penalty * energy
        divisors = values.clamp_min(0) + damping
        if damping == 0:  # the least-norm solution: nothing in directions without energy, up to rounding
            rounding = len(values) * torch.finfo(values.dtype).eps * values.max()
            divisors = divisors.masked_fill(values <= rounding, math.inf)
        W = vectors @ (cross / divisors[:, None])
        maps.append(AffineMap(W, mean_y - mean_s @ W))
    return maps
