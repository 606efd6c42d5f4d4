"""Fill a network from what was solved: an autoencoder of its inputs, or an unfolded network and its autoencoder.

Nothing is trained here. Letters: a inputs, f functional units, p memory units, k lags, o outputs; A (p, a) and B (p, p)
encode, U (a·L, p) holds the right singular vectors, block i of f rows belonging to lag i.
[P14; L18 §4.1; S20].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.nn.baselines import RNNRBM
from linmem.nn.lmn import LMN
from linmem.nn.scan.checks import check_single_layer
from linmem.nn.sequence_model import SequenceModel
from linmem.nn.unfolded import ExplicitMemoryNetwork, UnfoldedNetwork
from linmem.ridge import ridge_regression


@torch.no_grad()
def from_autoencoder_(layer: LMN | nn.RNN, autoencoder: LinearAutoencoder) -> None:
    """Make `layer` start as the encoder of the autoencoder of its inputs.

    RNN [P14]: `W_xh = A, W_hh = B, b = −A mean`. LMN [S20]: `W_xh = A, W_hm = I, W_mm = B, W_mh = 0, b_h = 0,
    b_m = −A mean`, so f = p. With the identity as nonlinearity the states are the autoencoder's; a tanh relies on
    `tanh(A x) ≈ A x`.

    Parameters
    ----------
    layer : LMN or torch.nn.RNN
        One unidirectional layer with the autoencoder's input and memory size.
    autoencoder : LinearAutoencoder
        Fitted on sequences of the layer's inputs.

    Raises
    ------
    ValueError
        The sizes do not fit.
    """
    if not isinstance(layer, LMN | nn.RNN):
        raise TypeError(f"layer is a {type(layer).__name__}: linmem.LMN or torch.nn.RNN was wanted")
    A, B = _encoder(autoencoder)
    p, a = A.shape
    _check_sizes("input_size", layer.input_size, a)
    check_single_layer(layer)
    offset = -(A @ torch.as_tensor(autoencoder.mean_, dtype=A.dtype))
    _check_sizes("hidden_size", _width(layer.hidden_size), p)
    if isinstance(layer, nn.RNN):
        _fill(layer, weight_ih_l0=A, weight_hh_l0=B, bias_ih_l0=offset, bias_hh_l0=torch.zeros(p))
        return
    _check_sizes("memory_size", layer.memory_size, p)
    zeros, eye = torch.zeros(p, p), torch.eye(p)
    _fill(layer, weight_xh_l0=A, weight_mh_l0=zeros, weight_hm_l0=eye, weight_mm_l0=B)
    _fill(layer, bias_h_l0=torch.zeros(p), bias_m_l0=offset)


@torch.no_grad()
def answer_constant_(model: nn.Module, constant: Tensor) -> None:
    """Let the bias of a model's readout start at `constant` (o,): what is best while nothing is known of the inputs.

    With a bias near 0 it is the hidden units that learn first how rare things are, all in one direction. On JSB
    Chorales that saturates the tanh of an LMN-A for good, at 11 nats a frame, what the notes' rates alone achieve.

    Raises
    ------
    ValueError
        The model has no readout bias of that size.
    """
    bias = _readout_bias(model)
    if bias is None or bias.shape != constant.shape:
        found = "none" if bias is None else f"one of {len(bias)}"
        raise ValueError(f"a {type(model).__name__} with a readout bias of {len(constant)} was wanted, it has {found}")
    bias.copy_(constant)


def _readout_bias(model: nn.Module) -> Tensor | None:
    match model:
        case SequenceModel():
            return model.readout.bias
        case UnfoldedNetwork() | ExplicitMemoryNetwork():
            return model.bias_o
        case RNNRBM():
            return model.biases.bias[: model.visible_size]
        case _:
            return None


@torch.no_grad()
def from_unfolded_(
    layer: LMN,
    readout: nn.Linear,
    unfolded: UnfoldedNetwork,
    autoencoder: LinearAutoencoder,
    memory_decay: float = 1.0,
) -> None:
    """Turn an unfolded network and the autoencoder of its hidden states into an LMN-B and its readout [L18 §4.1].

    `W_xh` and `b_h` as they are, `W_hm = A, W_mm = γ B, W_mh = [W_1^hh … W_k^hh] U_k, W_mo = [W_0^o … W_k^o] U_{k+1}`,
    with `U_j` the first j blocks of U. The memory already holds h_t when the readout sees it, hence lag 0 first. With
    p = rank, the same activation and γ = 1 the LMN computes what the unfolded network does; with γ < 1 what it would if
    a hidden state counted γ^i for what it was i steps later: `W_i^hh` scaled by γ^{i-1} and `W_i^o` by γ^i (exact where
    U is square).

    Parameters
    ----------
    layer : LMN
        One layer, `output="memory"`, with the unfolded network's input and hidden size.
    readout : Linear
        From the p memory units to the unfolded network's outputs.
    unfolded : UnfoldedNetwork
        Trained.
    autoencoder : LinearAutoencoder
        Fitted without centring on the hidden states of `unfolded`, (T_i, f) each.
    memory_decay : float
        γ in (0, 1]: a memory that keeps all of a long past overfits a small training set; 1 is the paper's.

    Raises
    ------
    ValueError
        The sizes do not fit, the layer is read from its functional part, the autoencoder was centred, or
        `memory_decay` is out of range.
    """
    check_transfer(layer, readout, unfolded.output_size, memory_decay)
    A, B = _encoder(autoencoder)
    p, f = A.shape
    _check_sizes("input_size", layer.input_size, unfolded.input_size)
    _check_sizes("hidden_size", _width(layer.hidden_size), unfolded.hidden_size)
    _check_sizes("memory_size", layer.memory_size, p)
    _check_sizes("the autoencoder's input size", f, unfolded.hidden_size)
    if autoencoder.center:
        raise ValueError("the autoencoder is centred, but missing hidden states are zeros: fit it with center=False")
    k = unfolded.lags
    blocks = _lag_blocks(autoencoder, k + 1)
    W_mh = torch.einsum("kgf,kfp->gp", unfolded.weight_hh.to(blocks), blocks[:k])
    W_mo = torch.einsum("kof,kfp->op", unfolded.weight_ho.to(blocks), blocks)
    _fill(layer, weight_xh_l0=unfolded.weight_xh, weight_mh_l0=W_mh, weight_hm_l0=A, weight_mm_l0=memory_decay * B)
    _fill(layer, bias_h_l0=unfolded.bias_h, bias_m_l0=torch.zeros(p))
    _fill(readout, weight=W_mo, bias=unfolded.bias_o)


@torch.no_grad()
def fit_readout_(readout: nn.Linear, states: Tensor, outputs: Tensor, ridge: float = 1e-3) -> None:
    """Solve the readout by ridge least squares from encoded states [P14, S20].

    `min ‖S W + b − Y‖² + ridge · N · (mean squared state) ‖W‖²`.

    Parameters
    ----------
    readout : Linear
        p → o, filled in place.
    states : Tensor
        S (M, p), what the layer returns where an answer is asked for.
    outputs : Tensor
        Y (M, o), what the readout should give there.
    ridge : float
        Penalty relative to the mean squared state.
    """
    (solved,) = ridge_regression(states, outputs, [ridge])
    _fill(readout, weight=solved.W.T, bias=solved.b)


def check_transfer(layer: LMN, readout: nn.Linear, outputs: int, memory_decay: float = 1.0) -> None:
    """Raise ValueError unless `from_unfolded_` can fill `layer` and `readout` for that many outputs."""
    check_single_layer(layer)
    _width(layer.hidden_size)
    _check_sizes("readout.in_features", readout.in_features, layer.memory_size)
    _check_sizes("readout.out_features", readout.out_features, outputs)
    if layer.output != "memory":
        raise ValueError(
            f"output is {layer.output!r}: the readout is solved for the memory, build LMN(output='memory')"
        )
    if not 0 < memory_decay <= 1:
        raise ValueError(f"memory_decay is {memory_decay}: a number above 0 and up to 1 was wanted")


def _encoder(autoencoder: LinearAutoencoder) -> tuple[Tensor, Tensor]:
    if not isinstance(autoencoder, LinearAutoencoder):
        raise TypeError(f"autoencoder is a {type(autoencoder).__name__}: a fitted linmem.LinearAutoencoder was wanted")
    return torch.as_tensor(autoencoder.A_), torch.as_tensor(autoencoder.B_)


def _lag_blocks(autoencoder: LinearAutoencoder, count: int) -> Tensor:
    """First `count` blocks of U as (count, f, p); lags beyond the longest sequence are zero."""
    A = torch.as_tensor(autoencoder.A_)
    p, f = A.shape
    U = torch.as_tensor(autoencoder.right_vectors_).reshape(-1, f, p)[:count]
    return torch.cat([U, U.new_zeros(count - len(U), f, p)])


def _fill(module: nn.Module, **values: Tensor) -> None:
    for name, value in values.items():
        if parametrize.is_parametrized(module, name):
            raise ValueError(f"{name} is parametrized, so what is copied into it is lost: fill first, constrain then")
        if (parameter := getattr(module, name, None)) is not None:
            parameter.copy_(value)
        elif value.any():
            raise ValueError(f"{name} must hold values, but the layer was built with bias=False")


def _width(hidden_size: int | Sequence[int]) -> int:
    if isinstance(hidden_size, int):
        return hidden_size
    raise ValueError(f"hidden_size is {hidden_size}: one functional layer was wanted")


def _check_sizes(name: str, came: int, wanted: int) -> None:
    if came != wanted:
        raise ValueError(f"{name} is {came}, wanted {wanted}: build the layer with the sizes of what fills it")
