"""Multi-scale memory: modules of a linear memory that are updated at every step, every second step, every fourth, ….

    h_t = σ(W_xh x_t + Σ_i W_mh^i m^i_{t-1} + b_h)
    m^i_t = W_hm^i h_t + Σ_{j≥i} W_mm^{ij} m^j_{t-1} + b_m^i     where 2^i divides t, else m^i_t = m^i_{t-1}

Faster modules read from slower ones [Carta, Sperduti & Bacciu, ECML-PKDD 2020; E21]. The first step has t = 0 and
updates all modules. All weights that read module j are parameters of that module (a column of blocks), so that adding a
module does not change the others: with W_mh^g = 0 and W_mm^{jg} = 0 for j < g all states stay bit for bit the same.

Symbols: T steps, B sequences, a inputs, f functional units, p memory units of one module, g modules (scales).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.nn.base import Clocked, SequenceLayer, new_clock, read_clock
from linmem.nn.lmn import LMN, OUTPUTS
from linmem.nn.scan.activations import activation


class ModularStates(NamedTuple):
    """All states of a batch."""

    hidden: Tensor  # (T, B, f)
    memory: Tensor  # (T, B, g·p), the fastest module first


def moving(step: int, modules: int) -> int:
    """Number of modules updated at a step: those i for which 2^i divides it, all of them at step 0.

    Examples
    --------
    >>> [moving(step, 3) for step in range(5)]
    [3, 1, 2, 1, 3]
    """
    return modules if step == 0 else min(modules, (step & -step).bit_length())


class MultiScaleLMN(SequenceLayer):
    """Linear Memory Network with a modular memory, with the signature of :class:`linmem.LMN`.

    Parameters
    ----------
    input_size, hidden_size, memory_size : int
        a, f, and p, the units of each module.
    scales : int
        g, the number of modules; module i is updated at every 2^i-th step. With one module it is an LMN.
    output : {"memory", "functional"}
        Output of the layer: the memory of all modules (g·p features, the fastest first) or h_t.
    nonlinearity : {"tanh", "relu", "selu", "identity"}
        σ.
    batch_first : bool
        Whether batches are (B, T, a) instead of (T, B, a).

    Attributes
    ----------
    weight_xh (f, a), bias_h (f)
    weight_mh_0 (f, p), weight_hm_0 (p, f), bias_m_0 (p)
        and so on for every module.
    weight_mm_0 (p, p), weight_mm_1 (2p, p), …
        Column j of blocks: what modules 0 … j read from module j.

    Notes
    -----
    Only modules that are updated are computed: a step costs on average less than the products of two modules. The state
    is a tuple: the memory of all modules (1, B, g·p), and a clock (1, B).

    Examples
    --------
    >>> import torch
    >>> from linmem.multiscale import MultiScaleLMN
    >>> layer = MultiScaleLMN(3, 8, 5, scales=4, batch_first=True)
    >>> outputs, state = layer(torch.zeros(2, 20, 3))
    >>> outputs.shape  # the memory of all four modules
    torch.Size([2, 20, 20])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        memory_size: int,
        scales: int = 1,
        *,
        output: str = "memory",
        nonlinearity: str = "tanh",
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self._check_sizes(input_size=input_size, hidden_size=hidden_size, memory_size=memory_size, scales=scales)
        if output not in OUTPUTS:
            raise ValueError(f"output must be one of {', '.join(map(repr, OUTPUTS))}, got {output!r}.")
        activation(nonlinearity)
        self.input_size, self.hidden_size, self.memory_size, self.scales = input_size, hidden_size, memory_size, 0
        self.output, self.nonlinearity, self.batch_first = output, nonlinearity, batch_first
        self.weight_xh = nn.Parameter(torch.empty(hidden_size, input_size, device=device, dtype=dtype))
        self.bias_h = nn.Parameter(torch.empty(hidden_size, device=device, dtype=dtype))
        for _ in range(scales):
            self.append_module()
        self.reset_parameters()

    @property
    def output_size(self) -> int:
        """Features of each output step."""
        return self.scales * self.memory_size if self.output == "memory" else self.hidden_size

    def append_module(self) -> list[nn.Parameter]:
        """Append one slower module of zeros and return its parameters; `grow_` fills it from an autoencoder."""
        i, f, p = self.scales, self.hidden_size, self.memory_size
        shapes = {"weight_mh": (f, p), "weight_hm": (p, f), "weight_mm": ((i + 1) * p, p), "bias_m": (p,)}
        new = [nn.Parameter(self.weight_xh.new_zeros(shape)) for shape in shapes.values()]
        for name, parameter in zip(shapes, new, strict=True):
            self.register_parameter(f"{name}_{i}", parameter)
        self.scales += 1
        return new

    def reset_parameters(self) -> None:
        """Initialize every module like the memory of a :class:`linmem.LMN`, without connections between modules."""
        f, p, like = self.hidden_size, self.memory_size, self.bias_h
        with torch.no_grad():
            for i, weight_mm in enumerate(self._modules_of("weight_mm")):
                lmn = LMN(self.input_size, f, p, device=like.device, dtype=like.dtype)
                weight_mm.zero_()
                weight_mm[-p:].copy_(lmn.get_parameter("weight_mm_l0"))
                for name in ("weight_mh", "weight_hm", "bias_m"):
                    getattr(self, f"{name}_{i}").copy_(lmn.get_parameter(f"{name}_l0"))
                self.weight_xh.copy_(lmn.get_parameter("weight_xh_l0"))
                self.bias_h.copy_(lmn.get_parameter("bias_h_l0"))

    def start(self, x: Tensor) -> Clocked:
        """Zero memory at step 0."""
        return x.new_zeros(1, x.shape[1], self.scales * self.memory_size), new_clock(x)

    def recur(self, x: Tensor, state: Clocked) -> tuple[Tensor, Clocked]:
        """Outputs (T, B, ·) of x (T, B, a), and the state after it."""
        states = self.states(x, state)
        y = states.memory if self.output == "memory" else states.hidden
        return y, (states.memory[-1:], state[1] + len(x))

    def states(self, x: Tensor, state: Clocked) -> ModularStates:
        """Functional states (T, B, f) and the memory of all modules (T, B, g·p), of x (T, B, a).

        `read[j]` is the sum of what modules j … g−1 contribute to h_t and to modules 0 … j; it changes only when module
        j is updated.
        """
        f, p, g = self.hidden_size, self.memory_size, self.scales
        sigma = activation(self.nonlinearity).apply
        hm, bias_m = self._modules_of("weight_hm"), self._modules_of("bias_m")
        pairs = zip(self._modules_of("weight_mh"), self._modules_of("weight_mm"), strict=True)
        columns = [torch.cat(pair) for pair in pairs]  # (f + (j + 1) p, p)
        memory = list(state[0][0].split(p, -1))
        read = [x.new_zeros(x.shape[1], f + (j + 1) * p) for j in range(g + 1)]
        hidden, memories = [], []
        moved = g
        for t, x_t in enumerate(F.linear(x, self.weight_xh, self.bias_h).unbind(0), start=read_clock(state[1])):
            for j in reversed(range(moved)):
                read[j] = F.linear(memory[j], columns[j]) + read[j + 1][:, : f + (j + 1) * p]
            h = sigma(x_t + read[0][:, :f])
            moved = moving(t, g)
            for i in range(moved):
                memory[i] = F.linear(h, hm[i], bias_m[i]) + read[i][:, f + i * p :]
            hidden.append(h)
            memories.append(torch.cat(memory, -1))
        return ModularStates(torch.stack(hidden), torch.stack(memories))

    def _modules_of(self, name: str) -> list[Tensor]:
        return [getattr(self, f"{name}_{i}") for i in range(self.scales)]

    def extra_repr(self) -> str:
        """Sizes."""
        return (
            f"{self.input_size}, {self.hidden_size}, {self.memory_size}, scales={self.scales}, output={self.output!r}"
        )


@torch.no_grad()
def sampled_hidden_states(layer: MultiScaleLMN, sequences: list[Tensor]) -> list[Tensor]:
    """Functional states at the steps that would update the next module, every 2^g-th step: the data of its autoencoder.

    Parameters
    ----------
    layer : with g modules.
    sequences : (T_i, a) each.

    Returns
    -------
    list of Tensor
        (⌈T_i / 2^g⌉, f) each.
    """
    rows = [sequence.unsqueeze(1) for sequence in sequences]
    return [layer.states(x, layer.start(x)).hidden[:: 2**layer.scales, 0] for x in rows]


@torch.no_grad()
def grow_(layer: MultiScaleLMN, autoencoder: LinearAutoencoder, readout: nn.Linear | None = None) -> list[nn.Parameter]:
    """Add a slower module whose memory is the state of `autoencoder`, without changing any output.

    `W_hm^g = A, W_mm^{gg} = B`, all that reads the new module is zero. Its memory is then the autoencoder's state.

    Parameters
    ----------
    layer : gets one module more, in place.
    autoencoder : of p units, fitted without centring on `sampled_hidden_states`.
    readout : linear map from the layer's output to be enlarged, in place, by p columns of zeros; needed where the
        layer gives its memory.

    Returns
    -------
    list of Parameter
        The new parameters, with a larger `readout.weight`: add them to the optimizer.

    Raises
    ------
    ValueError
        The sizes do not fit, or the autoencoder was centred.

    Examples
    --------
    >>> import torch, linmem
    >>> from linmem.multiscale import MultiScaleLMN, grow_, sampled_hidden_states
    >>> layer, sequences = MultiScaleLMN(3, 8, 5), [torch.randn(60, 3) for _ in range(4)]
    >>> hidden = sampled_hidden_states(layer, sequences)
    >>> parameters = grow_(layer, linmem.LinearAutoencoder(5).fit(hidden))
    >>> layer.scales
    2
    """
    A, B = torch.as_tensor(autoencoder.A_), torch.as_tensor(autoencoder.B_)
    expected = (layer.memory_size, layer.hidden_size)
    if tuple(A.shape) != expected:
        raise ValueError(
            f"autoencoder.A_ must have shape (memory_size, hidden_size) = {expected}, got {tuple(A.shape)}. "
            "Fit it on the hidden states of this layer."
        )
    if torch.as_tensor(autoencoder.mean_).any():
        raise ValueError(
            "autoencoder.center must be False, because missing hidden states are zeros, got True. "
            "Fit it with center=False."
        )
    if readout is not None and readout.in_features != layer.output_size:
        raise ValueError(
            f"readout.in_features must be {layer.output_size}, got {readout.in_features}. "
            "Use the readout of this layer."
        )
    new = layer.append_module()
    _, weight_hm, weight_mm, _ = new
    weight_hm.copy_(A)
    weight_mm[-layer.memory_size :].copy_(B)
    if readout is not None and layer.output == "memory":
        zeros = readout.weight.new_zeros(readout.out_features, layer.memory_size)
        readout.weight = nn.Parameter(torch.cat([readout.weight, zeros], 1))
        readout.in_features = layer.output_size
        new.append(readout.weight)
    return new
