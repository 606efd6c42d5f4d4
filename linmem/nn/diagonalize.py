"""Give an LMN with a diagonal memory the function of an LMN with a dense memory, by the eigenvectors of W_mm.

    W_mm = Q D Q⁻¹ with D block-diagonal,   m = Q m′:
    W_mh′ = W_mh Q,   W_hm′ = Q⁻¹ W_hm,   b_m′ = Q⁻¹ b_m,   readout W_mo′ = W_mo Q

Both networks compute the same function, up to rounding times the condition number of Q. So a diagonal memory can start
from any solution that fills a dense LMN, for instance from a linear autoencoder (`linmem.initialize`). Where the
condition number is too large for the dtype, W_mm is replaced by a near matrix (`linmem.nn.approximate_eigenvectors`).

Symbols: f functional units, p memory units, o outputs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from linmem.nn.approximate_eigenvectors import diagonalizable
from linmem.nn.lmn import LMN
from linmem.nn.scan.checks import check_single_layer
from linmem.nn.scan.memory import LARGEST_MODULUS, LEAST_MODULUS


class EigenBasis(NamedTuple):
    """A real eigenbasis of a matrix, in the order and parametrization of a diagonal memory."""

    basis: Tensor  # Q (p, p)
    log_decay: Tensor  # ν (p,)
    phase: Tensor  # θ, then φ (p // 2 + 1,)
    condition: float  # of Q
    distance: float = 0.0  # of Q D Q⁻¹ from the matrix, relative to its spectral norm


def eigenbasis(matrix: Tensor, dtype: torch.dtype = torch.float64) -> EigenBasis:
    """Compute Q, ν, θ and φ with ``matrix = Q D Q⁻¹``, D the blocks of :mod:`linmem.nn.scan.memory`.

    Parameters
    ----------
    matrix : Tensor
        (p, p), with a spectral radius of at most 1.
    dtype : dtype
        Of the layer that will compute in this basis.

    Returns
    -------
    EigenBasis
        In float64.

    Raises
    ------
    ValueError
        An eigenvalue has a modulus above 1.

    Warns
    -----
    UserWarning
        The condition number of Q is too large for the dtype; D is then that of a near matrix.

    Notes
    -----
    O(p³). Eigenvalues of modulus 0 and 1 are moved to 1e-30 and 1 − 1e-7.

    Examples
    --------
    >>> found = eigenbasis(torch.tensor([[0.0, -0.5], [0.5, 0.0]]))
    >>> found.log_decay.neg().exp(), round(found.condition, 6)  # two eigenvalues ±0.5i
    (tensor([1.4427, 1.4427], dtype=torch.float64), 1.0)
    """
    matrix = matrix.detach().double()
    radius = float(torch.linalg.eigvals(matrix).abs().max())
    if radius > 1 + 1e-6:
        raise ValueError(f"the spectral radius of matrix must be at most 1, got {radius:.6g}. Scale the matrix down.")
    found = diagonalizable(matrix, dtype)
    values, vectors = found.values, found.vectors
    real = [i for i in range(len(values)) if values[i].imag == 0]
    signs = [[i for i in real if (values[i].real < 0) == negative] for negative in (False, True)]
    columns, moduli, phases = [], [], []
    for i in (i for i in range(len(values)) if values[i].imag > 0):
        columns += [vectors[:, i].real, -vectors[:, i].imag]
        moduli += 2 * [float(values[i].abs())]
        phases.append(float(values[i].angle()))
    for same_sign, angle in zip(signs, (0.0, math.pi), strict=True):
        paired = same_sign[: len(same_sign) // 2 * 2]
        columns += [vectors[:, i].real for i in paired]
        moduli += [float(values[i].abs()) for i in paired]
        phases += [angle] * (len(paired) // 2)
    left = [same_sign[-1] for same_sign in signs if len(same_sign) % 2]  # none, one, or a positive and a negative one
    columns += [vectors[:, i].real for i in left]
    moduli += [float(values[i].abs()) for i in left]
    phases += [0.0] * (len(left) // 2)
    phases.append(math.pi if left and float(values[left[-1]].real) < 0 else 0.0)
    basis = torch.stack(columns, 1)
    decay = torch.tensor(moduli, dtype=torch.float64).clamp(LEAST_MODULUS, LARGEST_MODULUS)
    condition = float(torch.linalg.cond(basis))
    phase = torch.tensor(phases, dtype=torch.float64)
    return EigenBasis(basis, (-decay.log()).log(), phase, condition, found.distance)


@torch.no_grad()
def diagonalize_(layer: LMN, dense: LMN, readout: nn.Linear | None = None) -> EigenBasis:
    """Initialize a layer with diagonal memory to compute the same function as a layer with dense memory.

    Parameters
    ----------
    layer : LMN
        With ``memory="diagonal"`` and the sizes, nonlinearity and biases of `dense`; changed in place.
    dense : LMN
        One layer, one direction, with W_mm of spectral radius at most 1.
    readout : Linear, optional
        From the p memory units of `dense` to the outputs; changed in place to read the memory of `layer`.

    Returns
    -------
    EigenBasis
        The memories are related by ``m = m′ Qᵀ``, m′ that of `layer`; `condition` bounds the loss of precision.

    Raises
    ------
    ValueError
        The layers do not match, or W_mm has an eigenvalue of modulus above 1.

    Warns
    -----
    UserWarning
        The condition number of Q would be above 1e4 (1e12 in float64): the layer gets the function of a near W_mm,
        whose relative distance is `distance`.

    Examples
    --------
    >>> import linmem
    >>> sequences = [torch.randn(20, 3, dtype=torch.float64) for _ in range(5)]
    >>> autoencoder = linmem.LinearAutoencoder(6).fit(sequences)
    >>> dense, layer = (linmem.LMN(3, 6, 6, memory=kind, dtype=torch.float64) for kind in ("dense", "diagonal"))
    >>> linmem.initialize.from_autoencoder_(dense, autoencoder)
    >>> Q = diagonalize_(layer, dense).basis
    >>> bool(torch.allclose(layer(sequences[0])[0] @ Q.T, dense(sequences[0])[0]))
    True
    """
    for one, memory in ((layer, "diagonal"), (dense, "dense")):
        check_single_layer(one)
        if one.memory != memory:
            raise ValueError(f"the memory of this LMN must be {memory!r}, got {one!r}.")
    for name in ("input_size", "hidden_sizes", "memory_size", "nonlinearity", "bias"):
        if getattr(layer, name) != getattr(dense, name):
            raise ValueError(f"{name} must be that of dense ({getattr(dense, name)}), got {getattr(layer, name)}.")
    if readout is not None and readout.in_features != dense.memory_size:
        raise ValueError(f"readout.in_features must be memory_size={dense.memory_size}, got {readout.in_features}.")
    dtype: torch.dtype = layer.weight_xh_l0.dtype  # type: ignore[assignment]
    found = eigenbasis(dense.memory_matrix(), dtype)
    state = {name: value.double() for name, value in dense.state_dict().items() if name != "weight_mm_l0"}
    state["weight_mh_l0"] = state["weight_mh_l0"] @ found.basis
    for name in ("weight_hm_l0", "bias_m_l0"):
        if name in state:
            state[name] = torch.linalg.solve(found.basis, state[name])
    layer.load_state_dict(state | {"log_decay_mm_l0": found.log_decay, "phase_mm_l0": found.phase})
    if readout is not None:
        readout.weight.copy_(readout.weight.double() @ found.basis)
    return found
