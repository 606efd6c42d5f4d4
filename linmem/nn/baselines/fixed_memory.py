"""Memories that are set instead of learned, and memories kept orthogonal: ways to fill an LMN, not further classes.

    h_t = σ(W_xh x_t + W_mh m_{t-1} + b_h),   m_t = W_hm h_t + W_mm m_{t-1} + b_m                     [L18], eqs. 11-12

Delay line: W_mm a shift, so m_t = [h_t, h_{t-1}, …]. Orthogonal memory: W_mm orthogonal, ‖W_mm m‖ = ‖m‖ [E21, S20].
Elman network: m_t = h_t, and W_mh is its recurrent matrix; linear network: h_t = W_xh x_t, and W_mm is. Echo state
network: an Elman network of random weights, whose readout alone is fitted [Jaeger 2001]. Elman networks are written
this way because ``torch.nn.RNN`` keeps copies of its weights and so cannot be parametrized.

Whatever is set here gets ``requires_grad = False`` and is left alone by an optimizer. All functions want an LMN of one
layer and direction, change it in place and return it.

Letters: a inputs, f functional units, p memory units.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from linmem.nn.lmn import LMN
from linmem.nn.scan.checks import check_single_layer


@torch.no_grad()
def delay_line_(layer: LMN) -> LMN:
    """Make the memory a shift register of the last functional states, the newest first: m_t = [h_t, h_{t-1}, …]_{1…p}.

    W_mm moves everything f places on, W_hm writes h_t into the first f places. Of the oldest state there is a part
    only, if p is no multiple of f.
    """
    p, f = _sizes(layer)
    W_mm = torch.zeros(p, p)
    W_mm[f:, : max(p - f, 0)] = torch.eye(max(p - f, 0))
    return _set(layer, weight_mm=W_mm, weight_hm=torch.eye(p, f), bias_m=torch.zeros(p))


@torch.no_grad()
def orthogonal_(layer: LMN, *, seed: int = 0, weight: str = "weight_mm") -> LMN:
    """Make the memory rotate: W_mm a random orthogonal matrix (by Haar's measure), never trained.

    With ``weight="weight_mh"`` (f = p) W_mh instead, the recurrent matrix of an Elman network.
    """
    _sizes(layer)
    return _set(layer, **{weight: _random_orthogonal(_square(layer, weight), seed)})


def keep_orthogonal_(layer: LMN, *, seed: int = 0, weight: str = "weight_mm") -> LMN:
    """Train W_mm (or, f = p, W_mh) on the orthogonal matrices alone, from a random one, by torch's parametrization."""
    _sizes(layer)
    size = _square(layer, weight)
    name = f"{weight}_l0"
    parametrizations.orthogonal(layer, name)
    with torch.no_grad():
        setattr(layer, name, _random_orthogonal(size, seed).to(getattr(layer, name)))
    return layer


def orthogonality_penalty(weight: Tensor) -> Tensor:
    """‖WᵀW − I‖²_F, to be added to a loss with a factor λ of 1e-4 … 1e-1 [S20]: W nearly orthogonal, by choice."""
    return (weight.mT @ weight - torch.eye(weight.shape[1], dtype=weight.dtype, device=weight.device)).square().sum()


@torch.no_grad()
def elman_(layer: LMN) -> LMN:
    """Make the layer an Elman network, m_t = h_t = σ(W_xh x_t + W_mh h_{t-1} + b_h): W_hm = I, W_mm = 0, b_m = 0."""
    p, f = _sizes(layer)
    if p != f:
        raise ValueError(
            f"memory_size is {p}, but an Elman network remembers its {f} functional units: make them equal"
        )
    return _set(layer, weight_hm=torch.eye(p), weight_mm=torch.zeros(p, p), bias_m=torch.zeros(p))


@torch.no_grad()
def linear_(layer: LMN) -> LMN:
    """Make the layer linear, m_t = W_hm (W_xh x_t + b_h) + W_mm m_{t-1} + b_m: W_mh = 0, σ has to be the identity."""
    p, f = _sizes(layer)
    if layer.nonlinearity != "identity":
        raise ValueError(f"nonlinearity is {layer.nonlinearity!r}, but a linear network wants 'identity'")
    return _set(layer, weight_mh=torch.zeros(f, p))


@torch.no_grad()
def echo_state_(layer: LMN, *, radius: float = 0.95, scale: float = 1.0, sparsity: float = 0.0, seed: int = 0) -> LMN:
    """Make the layer a random Elman network of which nothing is trained.

    Parameters
    ----------
    layer : f = p.
    radius : spectral radius of the recurrent matrix.
    scale : W_xh and b_h are uniform in ±scale.
    sparsity : share of the recurrent weights that are zero.
    seed : of all weights.
    """
    p, f = _sizes(layer)
    elman_(layer)
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1

    W = uniform(f, p) * (torch.rand(f, p, generator=generator) >= sparsity)
    size = torch.linalg.eigvals(W).abs().max()
    if size == 0:
        raise ValueError(f"sparsity is {sparsity}, and left {f} units no cycle: lower it or take more units")
    W_xh, b_h = scale * uniform(f, layer.input_size), scale * uniform(f)
    return _set(layer, weight_mh=W * (radius / size), weight_xh=W_xh, bias_h=b_h)


def _sizes(layer: LMN) -> tuple[int, int]:
    """(p, f) of a layer that can be filled."""
    check_single_layer(layer)
    return layer.memory_size, layer.hidden_sizes[0]


def _square(layer: LMN, weight: str) -> int:
    if weight not in ("weight_mm", "weight_mh"):
        raise ValueError(f"weight is {weight!r}, but it must be one of 'weight_mm', 'weight_mh'")
    rows, columns = getattr(layer, f"{weight}_l0").shape
    if rows != columns:
        raise ValueError(f"{weight} is {rows} by {columns}, but an orthogonal matrix is square: make f and p equal")
    return int(rows)


def _random_orthogonal(size: int, seed: int) -> Tensor:
    """(size, size) float64, by Haar's measure: Q of a Gaussian matrix, R's diagonal made positive."""
    gaussian = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    Q, R = torch.linalg.qr(gaussian)
    return Q * R.diagonal().sign()


def _set(layer: LMN, **values: Tensor) -> LMN:
    """Write values into parameters and take those from the optimizer; a bias that does not exist is zero already."""
    for name, value in values.items():
        parameter: nn.Parameter | None = getattr(layer, f"{name}_l0")
        if parameter is not None:
            parameter.copy_(value)
            parameter.requires_grad_(False)
    return layer
