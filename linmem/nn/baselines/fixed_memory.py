"""Memories that are fixed instead of trained, and orthogonal memories: functions that set the weights of an LMN.

    h_t = σ(W_xh x_t + W_mh m_{t-1} + b_h),   m_t = W_hm h_t + W_mm m_{t-1} + b_m                     [L18], eqs. 11-12

Delay line: W_mm is a shift, so m_t = [h_t, h_{t-1}, …]. Orthogonal memory: W_mm is orthogonal, ‖W_mm m‖ = ‖m‖
[E21, S20]. Elman network: m_t = h_t, with recurrent matrix W_mh. Linear network: h_t = W_xh x_t, with recurrent matrix
W_mm. Echo state network: an Elman network with random weights, of which only the readout is fitted [Jaeger 2001].
``torch.nn.RNN`` keeps copies of its weights and cannot be parametrized, so orthogonal Elman networks are LMNs here.

Whatever is set here gets ``requires_grad = False`` and is left alone by an optimizer. All functions want an LMN of one
layer and direction, change it in place and return it.

Symbols: a inputs, f functional units, p memory units.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from linmem.nn.lmn import LMN
from linmem.nn.scan.checks import check_dense_memory, check_single_layer


@torch.no_grad()
def delay_line_(layer: LMN) -> LMN:
    """Set the memory to a shift register of the last functional states: m_t = first p entries of [h_t, h_{t-1}, …].

    W_mm shifts all entries by f, and W_hm writes h_t into the first f entries. If p is not a multiple of f, the memory
    holds only a part of the oldest state.

    Examples
    --------
    >>> lmn = delay_line_(LMN(1, 1, 3, output="memory", nonlinearity="identity"))
    >>> with torch.no_grad():
    ...     _ = lmn.weight_xh_l0.fill_(1), lmn.weight_mh_l0.zero_(), lmn.bias_h_l0.zero_()
    >>> lmn(torch.tensor([[1.0], [2.0], [3.0], [4.0]]))[1]
    tensor([[4., 3., 2.]], grad_fn=<SqueezeBackward1>)
    """
    p, f = _sizes(layer)
    W_mm = torch.zeros(p, p)
    W_mm[f:, : max(p - f, 0)] = torch.eye(max(p - f, 0))
    return _set(layer, weight_mm=W_mm, weight_hm=torch.eye(p, f), bias_m=torch.zeros(p))


@torch.no_grad()
def orthogonal_(layer: LMN, *, seed: int = 0, weight: str = "weight_mm") -> LMN:
    """Set W_mm to a fixed random orthogonal matrix, Haar-distributed.

    With ``weight="weight_mh"`` (f = p) it sets W_mh, the recurrent matrix of an Elman network.

    Examples
    --------
    >>> lmn = orthogonal_(LMN(1, 4, 8))
    >>> torch.allclose(lmn.weight_mm_l0.T @ lmn.weight_mm_l0, torch.eye(8), atol=1e-6)
    True
    """
    _sizes(layer)
    return _set(layer, **{weight: _random_orthogonal(_square(layer, weight), seed)})


def keep_orthogonal_(layer: LMN, *, seed: int = 0, weight: str = "weight_mm") -> LMN:
    """Constrain W_mm (or, with f = p, W_mh) to orthogonal matrices by torch's parametrization, from a random one.

    Examples
    --------
    >>> lmn = keep_orthogonal_(LMN(1, 4, 8, limit_norms=False))
    >>> torch.allclose(lmn.weight_mm_l0.T @ lmn.weight_mm_l0, torch.eye(8), atol=1e-5)
    True
    """
    _sizes(layer)
    size = _square(layer, weight)
    name = f"{weight}_l0"
    parametrizations.orthogonal(layer, name)
    with torch.no_grad():
        setattr(layer, name, _random_orthogonal(size, seed).to(getattr(layer, name)))
    layer.norm_limits.reset()
    return layer


def orthogonality_penalty(weight: Tensor) -> Tensor:
    """Return ‖WᵀW − I‖²_F, a penalty that keeps W nearly orthogonal; S20 uses factors λ from 1e-4 to 1e-1.

    Examples
    --------
    >>> orthogonality_penalty(torch.eye(3))
    tensor(0.)
    """
    return (weight.mT @ weight - torch.eye(weight.shape[1], dtype=weight.dtype, device=weight.device)).square().sum()


@torch.no_grad()
def elman_(layer: LMN) -> LMN:
    """Set the layer to an Elman network, m_t = h_t = σ(W_xh x_t + W_mh h_{t-1} + b_h): W_hm = I, W_mm = 0, b_m = 0.

    Examples
    --------
    >>> lmn = elman_(LMN(3, 8, 8))
    >>> [name for name, weight in lmn.named_parameters() if weight.requires_grad]
    ['weight_xh_l0', 'weight_mh_l0', 'bias_h_l0']
    """
    p, f = _sizes(layer)
    if p != f:
        raise ValueError(
            f"memory_size must be equal to hidden_size ({f}) in an Elman network, got {p}. Make them equal."
        )
    return _set(layer, weight_hm=torch.eye(p), weight_mm=torch.zeros(p, p), bias_m=torch.zeros(p))


@torch.no_grad()
def linear_(layer: LMN) -> LMN:
    """Set the layer to a linear network, m_t = W_hm (W_xh x_t + b_h) + W_mm m_{t-1} + b_m: W_mh = 0, σ the identity.

    Examples
    --------
    >>> lmn = linear_(LMN(3, 8, 8, nonlinearity="identity"))
    >>> bool(lmn.weight_mh_l0.any())
    False
    """
    p, f = _sizes(layer)
    if layer.nonlinearity != "identity":
        raise ValueError(f"nonlinearity must be 'identity' in a linear network, got {layer.nonlinearity!r}.")
    return _set(layer, weight_mh=torch.zeros(f, p))


@torch.no_grad()
def echo_state_(layer: LMN, *, radius: float = 0.95, scale: float = 1.0, sparsity: float = 0.0, seed: int = 0) -> LMN:
    """Set the layer to a random Elman network without trained weights.

    Parameters
    ----------
    layer : LMN
        With f = p.
    radius : float
        Spectral radius of the recurrent matrix.
    scale : float
        W_xh and b_h are uniform in ±scale.
    sparsity : float
        Share of the recurrent weights that are zero.
    seed : int
        Of all weights.

    Raises
    ------
    ValueError
        The sparse recurrent matrix is nilpotent.

    Examples
    --------
    >>> lmn = echo_state_(LMN(1, 20, 20), radius=0.9)
    >>> round(float(torch.linalg.eigvals(lmn.weight_mh_l0).abs().max()), 3)
    0.9
    """
    p, f = _sizes(layer)
    elman_(layer)
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1

    W = uniform(f, p) * (torch.rand(f, p, generator=generator) >= sparsity)
    size = torch.linalg.eigvals(W).abs().max()
    if size == 0:
        raise ValueError(f"sparsity must leave a cycle among the {f} units, got {sparsity}. Lower it or add units.")
    W_xh, b_h = scale * uniform(f, layer.input_size), scale * uniform(f)
    return _set(layer, weight_mh=W * (radius / size), weight_xh=W_xh, bias_h=b_h)


def _sizes(layer: LMN) -> tuple[int, int]:
    """(p, f) of a single layer."""
    check_single_layer(layer)
    return layer.memory_size, layer.hidden_sizes[0]


def _square(layer: LMN, weight: str) -> int:
    if weight not in ("weight_mm", "weight_mh"):
        raise ValueError(f"weight must be one of 'weight_mm', 'weight_mh', got {weight!r}.")
    if weight == "weight_mm":
        check_dense_memory(layer)
    rows, columns = getattr(layer, f"{weight}_l0").shape
    if rows != columns:
        raise ValueError(f"{weight} must be square, got {rows} by {columns}. Make hidden_size and memory_size equal.")
    return int(rows)


def _random_orthogonal(size: int, seed: int) -> Tensor:
    """Haar-distributed (size, size) matrix in float64: Q of a Gaussian matrix, with the diagonal of R made positive."""
    gaussian = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    Q, R = torch.linalg.qr(gaussian)
    return Q * R.diagonal().sign()


def _set(layer: LMN, **values: Tensor) -> LMN:
    """Copy values into parameters and freeze them; a bias that does not exist is zero."""
    if "weight_mm" in values:
        check_dense_memory(layer)
    for name, value in values.items():
        parameter: nn.Parameter | None = getattr(layer, f"{name}_l0")
        if parameter is not None:
            parameter.copy_(value)
            parameter.requires_grad_(False)
    layer.norm_limits.reset()
    return layer
