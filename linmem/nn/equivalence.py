"""From feed-forward to recurrent: the smallest linear memory with which a recurrent network computes the same function.

    h_t = σ(W_xh x_t + W_mh m_{t-1} + b_h),   m_t = A h_t + B m_{t-1} + b_m,   y_t = W_ho h_t + W_mo m_{t-1} + b_o

A feed-forward network reads the whole sequence, each hidden unit a single time step of it (the 1-time-step property). A
recurrent network computes the same units at the current step and stores their outputs. Row t of H is
ξ_t = [h_t, h_{t-1}, …], of each unit up to the last lag that is used. H without its first N_H columns contains what the
memory must store, and ρ = its rank: with U an orthonormal basis of its rows, m_t = Uᵀ ξ_t is
a linear recurrence, so N_H functional and ρ memory units suffice [Sperduti, IJCAI 2015; L18, section 3]. The unfolded
network is the same with links among its units.

The two agree wherever the past of the hidden states lies in the rows of H: on the given sequences always, on all
sequences if ρ is as large as a shift register.

Symbols: T steps, a inputs, N_H = f functional units, o outputs, k lags, ρ memory units, c = register columns of H.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from linmem.autoencoder.history.in_memory import InMemoryHistory
from linmem.nn.base import SequenceLayer
from linmem.nn.lmn_cell import LMNCell
from linmem.nn.scan.activations import activation
from linmem.nn.unfolded import UnfoldedNetwork
from linmem.sequences import check_sequences


class RecurrentNetwork(SequenceLayer):
    """Recurrent network whose output reads the functional units and the memory before the step; batch first.

    Parameters
    ----------
    input_size, hidden_size, memory_size, output_size : int
        a, f, ρ and o.
    nonlinearity : {"tanh", "relu", "selu", "identity"}
        σ.

    Attributes
    ----------
    cell : LMNCell
        W_xh, W_mh, W_hm = A, W_mm = B and the biases.
    weight_ho (o, f), weight_mo (o, ρ), bias_o (o)

    Examples
    --------
    >>> network = RecurrentNetwork(3, 8, 5, 2)
    >>> outputs, state = network(torch.zeros(4, 10, 3))
    >>> outputs.shape
    torch.Size([4, 10, 2])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        memory_size: int,
        output_size: int,
        *,
        nonlinearity: str = "tanh",
        batch_first: bool = True,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_size, self.batch_first = input_size, batch_first
        self.cell = LMNCell(input_size, hidden_size, memory_size, nonlinearity=nonlinearity, dtype=dtype)
        self.weight_ho = nn.Parameter(torch.zeros(output_size, hidden_size, dtype=dtype))
        self.weight_mo = nn.Parameter(torch.zeros(output_size, memory_size, dtype=dtype))
        self.bias_o = nn.Parameter(torch.zeros(output_size, dtype=dtype))

    @property
    def output_size(self) -> int:
        """Features of each output step."""
        return len(self.bias_o)

    def start(self, x: Tensor) -> Tensor:
        """Zero memory."""
        return x.new_zeros(1, x.shape[1], self.cell.memory_size)

    def recur(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (T, B, o) of x (T, B, a)."""
        m, outputs = state[0], []
        for x_t in x.unbind(0):
            h, after = self.cell(x_t, m)
            outputs.append(F.linear(h, self.weight_ho, self.bias_o) + F.linear(m, self.weight_mo))
            m = after
        return torch.stack(outputs), m.unsqueeze(0)


class Equivalent(NamedTuple):
    """A recurrent network and its numbers of units."""

    network: RecurrentNetwork
    functional_units: int  # N_H
    memory_units: int  # ρ
    register_units: int  # c, the size of a shift register


@torch.no_grad()
def recurrent_from_feedforward(
    hidden: nn.Linear, output: nn.Linear, sequences: list[Tensor], *, nonlinearity: str = "tanh"
) -> Equivalent:
    """Build the recurrent network that computes `output(σ(hidden(window)))` at every step.

    Parameters
    ----------
    hidden : N_H units over windows [x_t, x_{t-1}, …, x_{t-k}] with zeros before the start, (k + 1)·a inputs.
        Each unit has weights for one step of the window only.
    output : linear map N_H → o.
    sequences : (T_i, a) each, on which both agree; the first one determines a.
    nonlinearity : σ.

    Returns
    -------
    Equivalent
        The network in float64, and its units.

    Raises
    ------
    ValueError
        The sizes do not fit, a unit sees several time steps, or nothing but the current step is seen.

    Examples
    --------
    >>> hidden, output = nn.Linear(3, 2), nn.Linear(2, 1)  # windows of 3 steps with 1 feature
    >>> with torch.no_grad():
    ...     _ = hidden.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]))  # one step per unit
    >>> found = recurrent_from_feedforward(hidden, output, [torch.randn(50, 1)])
    >>> found.functional_units, found.memory_units
    (2, 2)
    """
    sequences = check_sequences(sequences)
    a = sequences[0].shape[1]
    steps, rest = divmod(hidden.in_features, a)
    if rest or output.in_features != hidden.out_features:
        raise ValueError(
            f"hidden.in_features must be a multiple of {a} and output.in_features must equal hidden.out_features, "
            f"got hidden {hidden.in_features} -> {hidden.out_features} and "
            f"output {output.in_features} -> {output.out_features}. Change the sizes."
        )
    if steps < 2:
        raise ValueError("the window must have at least 2 steps, got 1. A network without lags needs no memory.")
    weight, lag = _single_steps(hidden.weight.double().unflatten(1, (steps, a)))
    unfolded = UnfoldedNetwork(
        a, hidden.out_features, output.out_features, steps - 1, nonlinearity, dtype=torch.float64
    )
    for parameter in unfolded.parameters():
        parameter.zero_()
    unfolded.weight_xh.copy_(weight)
    units = torch.arange(hidden.out_features)
    unfolded.weight_ho[lag, :, units] = output.weight.double().T
    if hidden.bias is not None:
        unfolded.bias_h.copy_(hidden.bias)
    if output.bias is not None:
        unfolded.bias_o.copy_(output.bias)
    silence = activation(nonlinearity).apply(unfolded.bias_h)  # output of a unit at a missing step, x = 0
    return _with_memory(unfolded, sequences, silence)


@torch.no_grad()
def recurrent_from_unfolded(unfolded: UnfoldedNetwork, sequences: list[Tensor]) -> Equivalent:
    """Build the recurrent network with the same outputs as `unfolded`, its shift register compressed to ρ units.

    Parameters
    ----------
    unfolded : trained.
    sequences : (T_i, a) each, on which both agree.

    Returns
    -------
    Equivalent
        The network in float64, and its units.

    Examples
    --------
    >>> unfolded = UnfoldedNetwork(1, 2, 1, lags=3)
    >>> sequence = torch.randn(50, 1)
    >>> found = recurrent_from_unfolded(unfolded, [sequence])
    >>> outputs, _ = found.network(sequence.double()[None])
    >>> torch.allclose(outputs.float(), unfolded(sequence[None])[0], atol=1e-5)
    True
    """
    twin = UnfoldedNetwork(
        unfolded.input_size,
        unfolded.hidden_size,
        unfolded.output_size,
        unfolded.lags,
        unfolded.nonlinearity,
        dtype=torch.float64,
    )
    twin.load_state_dict(unfolded.state_dict())
    return _with_memory(twin, check_sequences(sequences), twin.bias_h.new_zeros(twin.hidden_size))


def _single_steps(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(N_H, a) weights and (N_H,) lags of units (N_H, steps, a) that see one step each."""
    seen = (weight != 0).any(-1)
    for unit in torch.nonzero(seen.sum(1) > 1)[:, 0].tolist():
        lags = ", ".join(map(str, torch.nonzero(seen[unit])[:, 0].tolist()))
        raise ValueError(
            f"each hidden unit must have weights for one step only, got lags {lags} for unit {unit}. "
            "Set the other weights to zero."
        )
    lag = seen.int().argmax(1)
    return weight[torch.arange(len(weight)), lag], lag


def _with_memory(unfolded: UnfoldedNetwork, sequences: list[Tensor], silence: Tensor) -> Equivalent:
    """Replace the last k hidden states by a memory of h − `silence`, in which missing steps are zero."""
    f, k = unfolded.hidden_size, unfolded.lags
    hidden = [unfolded(x.double())[1] - silence for x in sequences]
    W_hh = unfolded.weight_hh.transpose(0, 1).flatten(1)  # (f, k·f), lag by lag
    W_ho = unfolded.weight_ho[1:].transpose(0, 1).flatten(1)  # (o, k·f)
    reads = torch.cat([W_hh, W_ho]).any(0).view(k, f)
    kept = reads.flip(0).cummax(0).values.flip(0).flatten()  # a unit is kept up to the last lag at which it is read
    U = _row_basis(hidden, k, kept)
    P, S = torch.eye(k * f, f).to(U), torch.zeros(k * f, k * f).to(U)
    S[f:, :-f] = torch.eye((k - 1) * f)
    A, B = U.T @ P[kept], U.T @ S[kept][:, kept] @ U
    o, rho = unfolded.output_size, U.shape[1]
    network = RecurrentNetwork(unfolded.input_size, f, rho, o, nonlinearity=unfolded.nonlinearity, dtype=U.dtype)
    repeated = silence.repeat(k)
    network.load_state_dict(
        {
            "cell.weight_xh": unfolded.weight_xh,
            "cell.weight_mh": W_hh[:, kept] @ U,
            "cell.weight_hm": A,
            "cell.weight_mm": B,
            "cell.bias_h": unfolded.bias_h + W_hh @ repeated,
            "cell.bias_m": -A @ silence,
            "weight_ho": unfolded.weight_ho[0],
            "weight_mo": W_ho[:, kept] @ U,
            "bias_o": unfolded.bias_o + W_ho @ repeated,
        }
    )
    return Equivalent(network, f, rho, int(kept.sum()))


def _row_basis(hidden: list[Tensor], lags: int, kept: Tensor) -> Tensor:
    """(c, ρ) orthonormal basis of the rows of H without its first block: the pasts [h_{t-1}, …, h_{t-k}] of all t."""
    pasts = [h[:-1] for h in hidden if len(h) > 1]
    H = InMemoryHistory(pasts).columns(0, lags)[:, kept] if pasts else torch.zeros(0, 0)
    if not H.any():
        raise ValueError(
            "the network must read from past steps of these sequences, got none. "
            "A network without lags needs no memory."
        )
    _, values, Vt = torch.linalg.svd(H, full_matrices=False)
    rank = int((values > max(H.shape) * torch.finfo(H.dtype).eps * values[0]).sum())
    return Vt[:rank].T
