"""Refining a recurrent decoder: the (C_x, C_y) whose powers come closest to the best decoder of all, Ω*.

With the encoder kept, ‖Ξ − Y Ωᵀ‖² = const + ‖(Ω − Ω*) G^½‖², G = YᵀY. In whitened states, y' = T⁻¹ y with G = T Tᵀ,
that is a plain least-squares distance ‖Ω' − Ω*'‖² with Ω'_i = C_x' C_y'ⁱ, well conditioned, and no pass over the data
is needed. Its gradient is one backward recurrence over the lags, Λ_i = D_i + Λ_{i+1} C_y'ᵀ with D = Ω' − Ω*'.

Letters: a features, p memory units, L lags. METHODS 1.
"""

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

from .decoder import Decoder, Moments, error, powers

ITERATIONS = (
    150  # JSB, p = 100: ratio to the bound 1.0288 after 40, 1.0280 after 80, 1.0273 after 160, 1.0271 after 200
)


def refine_decoder(known: Moments, start: Decoder, iterations: int = ITERATIONS) -> Decoder:
    """Minimise the reconstruction error over (C_x, C_y) by L-BFGS from `start`; never worse than `start`.

    O(L a p²) an iteration.
    """
    values, vectors = torch.linalg.eigh(known.states)
    if float(values[0]) <= 1e-12 * float(values[-1]):  # at full rank nothing is left to gain, and T⁻¹ would be rounding
        return start
    root, inverse = vectors * values.sqrt(), vectors.T / values.sqrt()[:, None]
    target = known.cross @ inverse.T
    features, units = start.C_x.shape

    def value_and_gradient(packed: np.ndarray) -> tuple[float, np.ndarray]:
        C_x, C_y = _unpack(packed, features, units, known.cross)
        value, gradient = distance(C_x, C_y, target)
        return value / known.energy, (gradient / known.energy).cpu().numpy()

    packed = torch.cat([(start.C_x @ root).flatten(), (inverse @ start.C_y @ root).flatten()]).cpu().numpy()
    options = {"maxiter": iterations, "maxcor": 20, "ftol": 1e-9, "gtol": 1e-12}
    found = scipy.optimize.minimize(value_and_gradient, packed, jac=True, method="L-BFGS-B", options=options)
    C_x, C_y = _unpack(found.x, features, units, known.cross)
    refined = Decoder(C_x @ inverse, root @ C_y @ inverse)
    lags = len(known.cross)
    return refined if error(known, refined.blocks(lags)) < error(known, start.blocks(lags)) else start


def distance(C_x: Tensor, C_y: Tensor, target: Tensor) -> tuple[float, Tensor]:
    """‖Ω − target‖² and its gradient with respect to [C_x, C_y], flattened."""
    blocks = powers(C_x, C_y, len(target))
    rest = blocks - target
    adjoint = torch.empty_like(rest)
    running, transposed = torch.zeros_like(C_x), C_y.T.contiguous()
    for lag in range(len(target) - 1, -1, -1):
        running = torch.addmm(rest[lag], running, transposed)
        adjoint[lag] = running
    gradient = blocks[:-1].flatten(0, 1).T @ adjoint[1:].flatten(0, 1)
    return float(rest.square().sum()), 2 * torch.cat([running.flatten(), gradient.flatten()])


def _unpack(packed: np.ndarray, features: int, units: int, like: Tensor) -> tuple[Tensor, Tensor]:
    tensor = torch.from_numpy(packed).to(like)
    return tensor[: features * units].view(features, units), tensor[features * units :].view(units, units)
