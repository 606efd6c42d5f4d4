"""Linear Recurrent Unit: a diagonal complex memory, whose steps are computed in parallel.

    s_t = λ ⊙ s_{t-1} + √(1 − |λ|²) ⊙ (W_xs x_t),   λ = exp(−e^ν + i e^θ)
    y_t = σ(Re(W_sy s_t) + W_xy x_t + b_y)                      [Orvieto et al., ICML 2023]

With σ the identity the layer is linear; the paper stacks it with nonlinear layers, here σ is part of the layer. Since
|λ| < 1 for every ν, the memory is stable, and √(1 − |λ|²) gives it the variance of its input.

Symbols: T steps, B sequences, a inputs, n complex memory units, o outputs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.nn.approximate_eigenvectors import diagonalizable
from linmem.nn.base import SequenceLayer
from linmem.nn.scan.activations import activation
from linmem.nn.scan.memory import LARGEST_MODULUS, LEAST_MODULUS

LEAST_PHASE = 1e-30


def diagonal_loop(decay: Tensor, values: Tensor, start: Tensor) -> Tensor:
    """Compute s_t = λ ⊙ s_{t-1} + v_t step by step: the specification of `diagonal_scan`.

    Parameters
    ----------
    decay : Tensor
        λ (n).
    values : Tensor
        v (T, B, n).
    start : Tensor
        s_0 (B, n).

    Returns
    -------
    Tensor
        s_1 … s_T, (T, B, n).
    """
    s, states = start, []
    for v in values.unbind(0):
        s = decay * s + v
        states.append(s)
    return torch.stack(states)


def diagonal_scan(decay: Tensor, values: Tensor, start: Tensor) -> Tensor:
    """Compute what `diagonal_loop` does with 2 ⌈log₂ T⌉ operations on blocks of time steps.

    Two steps with λ are one step with λ²; the recursion solves every second step first. It needs twice the products of
    the loop, in large operations. On one core it takes as long as the loop (T = 784, B = 32, n = 128: 73 ms forward
    and backward against 75 ms), and it uses further cores better. Summing over doubled distances takes 360 ms.

    Examples
    --------
    >>> diagonal_scan(torch.tensor([0.5]), torch.ones(3, 1, 1), torch.zeros(1, 1)).flatten()
    tensor([1.0000, 1.5000, 1.7500])
    """
    if len(values) == 1:
        return decay * start + values
    second = diagonal_scan(decay * decay, decay * values[0:-1:2] + values[1::2], start)
    before = torch.cat([start.unsqueeze(0), second])
    first = decay * before[: (len(values) + 1) // 2] + values[::2]
    both = torch.stack([first[: len(second)], second], 1).flatten(0, 1)
    return torch.cat([both, first[len(second) :]])


class LRU(SequenceLayer):
    """Linear Recurrent Unit with the signature of :class:`linmem.LMN`. The state is complex, (1, B, n).

    Parameters
    ----------
    input_size, state_size : int
        a and n.
    output_size : int, optional
        o; n by default.
    nonlinearity : {"identity", "tanh", "relu", "selu"}
        σ of the outputs.
    smallest, largest : float
        Initial range of the modulus of λ, which is uniform over the area of this ring.
    largest_phase : float
        Initial phases are uniform in (0, largest_phase).
    batch_first : bool
        Whether inputs are (B, T, a) instead of (T, B, a).
    device, dtype : optional
        Of the parameters.

    Attributes
    ----------
    log_decay (n), log_phase (n)
        ν and θ.
    weight_xs (2, n, a), weight_sy (2, o, n)
        Real and imaginary parts of the complex maps into and out of the memory.
    weight_xy (o, a), bias_y (o)

    Examples
    --------
    >>> layer = LRU(3, 16, 8)
    >>> y, state = layer(torch.zeros(10, 4, 3))
    >>> y.shape, state.dtype
    (torch.Size([10, 4, 8]), torch.complex64)
    """

    def __init__(
        self,
        input_size: int,
        state_size: int,
        output_size: int | None = None,
        *,
        nonlinearity: str = "identity",
        smallest: float = 0.4,
        largest: float = 0.99,
        largest_phase: float = 2 * math.pi,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        outputs = state_size if output_size is None else output_size
        self._check_sizes(input_size=input_size, state_size=state_size, output_size=outputs)
        if not 0 <= smallest < largest < 1:
            raise ValueError(
                f"smallest and largest must satisfy 0 <= smallest < largest < 1, got {smallest} and {largest}."
            )
        if not 0 < largest_phase <= 2 * math.pi:
            raise ValueError(f"largest_phase must be an angle in (0, 2π], got {largest_phase}.")
        activation(nonlinearity)
        self.input_size, self.state_size, self._output_size = input_size, state_size, outputs
        self.nonlinearity, self.batch_first = nonlinearity, batch_first
        self.smallest, self.largest, self.largest_phase = smallest, largest, largest_phase
        shapes = {"log_decay": (state_size,), "log_phase": (state_size,), "weight_xs": (2, state_size, input_size)}
        shapes |= {"weight_sy": (2, outputs, state_size), "weight_xy": (outputs, input_size), "bias_y": (outputs,)}
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        self.log_decay: Tensor
        self.log_phase: Tensor
        self.weight_xs: Tensor
        self.weight_sy: Tensor
        self.weight_xy: Tensor
        self.bias_y: Tensor
        self.reset_parameters()

    @property
    def output_size(self) -> int:
        """Features of each output step."""
        return self._output_size

    def reset_parameters(self) -> None:
        """Initialize λ uniformly in a ring of the unit disk, and complex Gaussian maps with mean square 1/columns."""
        with torch.no_grad():
            radius = torch.rand_like(self.log_decay) * (self.largest**2 - self.smallest**2) + self.smallest**2
            self.log_decay.copy_((-0.5 * radius.clamp_min(1e-12).log()).log())
            self.log_phase.copy_((self.largest_phase * torch.rand_like(self.log_phase)).clamp_min(1e-12).log())
        for weight in (self.weight_xs, self.weight_sy):
            nn.init.normal_(weight, std=1 / math.sqrt(2 * weight.shape[-1]))
        nn.init.normal_(self.weight_xy, std=1 / math.sqrt(self.input_size))
        nn.init.zeros_(self.bias_y)

    def decay(self) -> Tensor:
        """Return λ (n), complex numbers inside the unit disk."""
        return torch.polar((-self.log_decay.exp()).exp(), self.log_phase.exp())

    def start(self, x: Tensor) -> Tensor:
        """Zero state, complex."""
        return x.new_zeros(1, x.shape[1], self.state_size, dtype=x.dtype.to_complex())

    def recur(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (T, B, o) of x (T, B, a), all steps in parallel."""
        gain = (-torch.expm1(-2 * self.log_decay.exp())).sqrt()  # √(1 − |λ|²)
        values = torch.complex(*(gain * F.linear(x, weight) for weight in self.weight_xs))
        states = diagonal_scan(self.decay(), values, state[0])
        y = F.linear(states.real, self.weight_sy[0]) - F.linear(states.imag, self.weight_sy[1])
        return activation(self.nonlinearity).apply(y + F.linear(x, self.weight_xy, self.bias_y)), states[-1:]

    @classmethod
    @torch.no_grad()
    def from_autoencoder(cls, autoencoder: LinearAutoencoder, *, batch_first: bool = False) -> LRU:
        """Build the layer whose outputs are the states of a linear autoencoder, by the eigenvectors of its B.

        With `B = V Λ V⁻¹`: `λ = Λ, W_xs = V⁻¹ A / √(1 − |λ|²), W_sy = V, W_xy = 0, b_y = 0`. One of each pair of
        conjugate eigenvalues is kept, with its column of V doubled, because outputs are real parts.

        Parameters
        ----------
        autoencoder : LinearAutoencoder
            Fitted without centering, because the layer has no bias before its memory.
        batch_first : bool
            Of the layer.

        Returns
        -------
        LRU
            With p outputs and at most p complex units, in the dtype of the autoencoder.

        Raises
        ------
        ValueError
            The autoencoder is centered.
        TypeError
            `autoencoder` is not a LinearAutoencoder.

        Warns
        -----
        UserWarning
            The condition number of the eigenvectors is above 1e4 (1e12 in float64): the layer is that of a near B.

        Examples
        --------
        >>> import linmem
        >>> sequences = [torch.randn(20, 3, dtype=torch.float64) for _ in range(5)]
        >>> autoencoder = linmem.LinearAutoencoder(6).fit(sequences)
        >>> layer = LRU.from_autoencoder(autoencoder)
        >>> bool(torch.allclose(layer(sequences[0])[0], autoencoder.encode(sequences)[0]))
        True
        """
        if not isinstance(autoencoder, LinearAutoencoder):
            raise TypeError(f"autoencoder must be a fitted LinearAutoencoder, got a {type(autoencoder).__name__}.")
        if torch.as_tensor(autoencoder.mean_).any():
            raise ValueError("autoencoder must have center=False for an LRU, got center=True. Fit it again.")
        A, B = torch.as_tensor(autoencoder.A_), torch.as_tensor(autoencoder.B_)
        near = diagonalizable(B.double(), A.dtype)
        values, vectors = near.values, near.vectors
        into = torch.linalg.solve(vectors, A.to(vectors))
        kept = values.imag >= 0
        values, into = values[kept], into[kept]
        vectors = vectors[:, kept] * torch.where(values.imag > 0, 2.0, 1.0)
        decay = values.abs().clamp(LEAST_MODULUS, LARGEST_MODULUS)
        layer = cls(A.shape[1], len(values), len(A), batch_first=batch_first, dtype=A.dtype, device=A.device)
        layer.log_decay.copy_((-decay.log()).log())
        layer.log_phase.copy_(values.angle().clamp_min(LEAST_PHASE).log())
        into = into / (1 - decay.square()).sqrt()[:, None]
        layer.weight_xs.copy_(torch.stack([into.real, into.imag]))
        layer.weight_sy.copy_(torch.stack([vectors.real, vectors.imag]))
        for parameter in (layer.weight_xy, layer.bias_y):
            nn.init.zeros_(parameter)
        return layer

    def extra_repr(self) -> str:
        """Sizes of the layer."""
        return f"{self.input_size}, {self.state_size}, {self.output_size}, nonlinearity={self.nonlinearity!r}"
