"""Initialize a network from a solved memory: an autoencoder of its inputs, or an unfolded network and its autoencoder.

These functions compute weights in closed form and train nothing. [P14; L18 §4.1; S20].

Symbols: a inputs, f functional units, p memory units, k lags, L lags of the history, o outputs, γ lag decay. A (p, a)
and B (p, p) encode. U (L, a, p) holds the right singular vectors of the history matrix, U_i its block of lag i.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.nn.baselines import RNNRBM
from linmem.nn.limited_parameters import reset_norm_limits
from linmem.nn.lmn import LMN
from linmem.nn.scan.checks import check_dense_memory, check_single_layer
from linmem.nn.sequence_model import SequenceModel
from linmem.nn.transfer_checks import (
    check_fillable,
    check_linear,
    check_size,
    check_transfer,
    check_uncentered,
    single_size,
)
from linmem.nn.unfolded import ExplicitMemoryNetwork, UnfoldedNetwork
from linmem.ridge import ridge_regression


@torch.no_grad()
def from_autoencoder_(layer: LMN | nn.RNN, autoencoder: LinearAutoencoder) -> None:
    """Initialize a layer as the encoder of the autoencoder of its inputs.

    RNN [P14]: `W_xh = A, W_hh = B, b = −A mean`. LMN [S20]: `W_xh = A, W_hm = I, W_mm = B, W_mh = 0, b_h = 0,
    b_m = −A mean`, so f = p. With the identity as nonlinearity the states equal those of the autoencoder; tanh relies
    on `tanh(A x) ≈ A x`.

    Parameters
    ----------
    layer : LMN or torch.nn.RNN
        One unidirectional layer with the autoencoder's input and memory size; changed in place.
    autoencoder : LinearAutoencoder
        Fitted to sequences of the layer's inputs.

    Raises
    ------
    ValueError
        The sizes do not match, the memory is diagonal, or a weight is parametrized. The layer is then unchanged.
    TypeError
        `layer` or `autoencoder` has another type.

    Examples
    --------
    >>> import linmem
    >>> sequences = [torch.randn(20, 3, dtype=torch.float64) for _ in range(5)]
    >>> autoencoder = linmem.LinearAutoencoder(8).fit(sequences)
    >>> lmn = linmem.LMN(3, 8, 8, nonlinearity="identity", dtype=torch.float64)
    >>> from_autoencoder_(lmn, autoencoder)
    >>> bool(torch.allclose(lmn(sequences[0])[0], autoencoder.encode(sequences[:1])[0]))
    True
    """
    if not isinstance(layer, LMN | nn.RNN):
        raise TypeError(f"layer must be a linmem.LMN or torch.nn.RNN, got a {type(layer).__name__}.")
    A, B = _encoder(autoencoder)
    p, a = A.shape
    check_size("input_size", layer.input_size, a)
    check_single_layer(layer)
    check_dense_memory(layer)
    offset = -(A @ torch.as_tensor(autoencoder.mean_, dtype=A.dtype))
    check_size("hidden_size", single_size(layer.hidden_size), p)
    if isinstance(layer, nn.RNN):
        _fill(layer, weight_ih_l0=A, weight_hh_l0=B, bias_ih_l0=offset, bias_hh_l0=torch.zeros(p))
        return
    check_size("memory_size", layer.memory_size, p)
    weights = {"weight_xh_l0": A, "weight_mh_l0": torch.zeros(p, p), "weight_hm_l0": torch.eye(p), "weight_mm_l0": B}
    _fill(layer, **weights, bias_h_l0=torch.zeros(p), bias_m_l0=offset)


@torch.no_grad()
def from_unfolded_(
    layer: LMN,
    readout: nn.Linear,
    unfolded: UnfoldedNetwork,
    autoencoder: LinearAutoencoder,
    memory_decay: float = 1.0,
) -> None:
    """Initialize an LMN-B and its readout from an unfolded network and the autoencoder of its hidden states [L18 §4.1].

    `W_xh` and `b_h` are copied; `W_hm = A, W_mm = B, W_mh = Σ_{i=1..k} γ^{1−i} W_i^hh U_{i−1}, W_mo = Σ_{i=0..k}
    γ^{−i} W_i^o U_i`, where γ is the autoencoder's `lag_decay`: lag i of the history is weighted by γ^i, so that
    γ^{−i} U_i m_t decodes h_{t−i}. The readout reads m_t, which contains h_t, hence it starts at lag 0. With p = rank
    and the same nonlinearity the LMN computes what the unfolded network does, for every γ.

    Parameters
    ----------
    layer : LMN
        One layer, `output="memory"`, with the unfolded network's input and hidden size; changed in place.
    readout : Linear
        Maps the p memory units to the unfolded network's outputs; changed in place.
    unfolded : UnfoldedNetwork
        Trained.
    autoencoder : LinearAutoencoder
        Fitted without centering to the hidden states of `unfolded`, (T_i, f) each.
    memory_decay : float
        Factor in (0, 1] on W_mm, after the solution. The LMN then computes what the unfolded network would with W_i^hh
        scaled by `memory_decay`^{i−1} and W_i^o by `memory_decay`^i (exact where U is square). 1 in the paper. A
        `lag_decay` in the autoencoder is the better way to weight the past, because it keeps the network's function.

    Raises
    ------
    ValueError
        The sizes do not match, the memory is diagonal, the layer's output is not its memory, the autoencoder is
        centered, or `memory_decay` is out of range. Layer and readout are then unchanged.

    Examples
    --------
    >>> import torch, linmem
    >>> unfolded = linmem.UnfoldedNetwork(3, 8, 2, lags=4)
    >>> hidden = [torch.randn(30, 8) for _ in range(5)]  # its hidden states on the training set
    >>> autoencoder = linmem.LinearAutoencoder(16, decoder="tied").fit(hidden)
    >>> lmn, readout = linmem.LMN(3, 8, 16), torch.nn.Linear(16, 2)
    >>> linmem.initialize.from_unfolded_(lmn, readout, unfolded, autoencoder)
    >>> torch.equal(lmn.weight_xh_l0, unfolded.weight_xh)
    True
    """
    if not isinstance(unfolded, UnfoldedNetwork):
        raise TypeError(f"unfolded must be a linmem.UnfoldedNetwork, got {type(unfolded).__name__}.")
    check_transfer(layer, readout, unfolded.output_size, memory_decay)
    A, B = _encoder(autoencoder)
    p, f = A.shape
    check_size("input_size", layer.input_size, unfolded.input_size)
    check_size("hidden_size", single_size(layer.hidden_size), unfolded.hidden_size)
    check_size("memory_size", layer.memory_size, p)
    check_size("the autoencoder's input size", f, unfolded.hidden_size)
    check_uncentered(bool(torch.as_tensor(autoencoder.mean_).any()))
    k = unfolded.lags
    decode = _lag_decoders(autoencoder, k + 1)
    W_mh = torch.einsum("kgf,kfp->gp", unfolded.weight_hh.to(decode), decode[:k])
    W_mo = torch.einsum("kof,kfp->op", unfolded.weight_ho.to(decode), decode)
    weights = {"weight_xh_l0": unfolded.weight_xh, "weight_mh_l0": W_mh, "weight_hm_l0": A}
    weights |= {"weight_mm_l0": memory_decay * B, "bias_h_l0": unfolded.bias_h, "bias_m_l0": torch.zeros(p)}
    of_readout = {"weight": W_mo, "bias": unfolded.bias_o}
    check_fillable(readout, **of_readout)  # before the layer changes
    _fill(layer, **weights)
    _fill(readout, **of_readout)


@torch.no_grad()
def fit_readout_(readout: nn.Linear, states: Tensor, outputs: Tensor, ridge: float = 1e-3) -> None:
    """Fit a readout by ridge regression from encoded states [P14, S20]; see :mod:`linmem.ridge`.

    Parameters
    ----------
    readout : Linear
        p → o; changed in place.
    states : Tensor
        S (M, p), the layer's outputs at the steps that have a target.
    outputs : Tensor
        Y (M, o), the targets of the readout.
    ridge : float
        Penalty relative to the energy of a state.

    Examples
    --------
    >>> import torch
    >>> from linmem.initialize import fit_readout_
    >>> states, weights = torch.randn(100, 5), torch.randn(5, 2)
    >>> readout = torch.nn.Linear(5, 2)
    >>> fit_readout_(readout, states, states @ weights, ridge=1e-9)
    >>> torch.allclose(readout.weight, weights.T, atol=1e-3)
    True
    """
    check_linear(readout)
    (solved,) = ridge_regression(states, outputs, [ridge])
    check_size("readout.in_features", readout.in_features, states.shape[1])
    check_size("readout.out_features", readout.out_features, outputs.shape[1])
    _fill(readout, weight=solved.W.T, bias=solved.b)


@torch.no_grad()
def set_output_bias_(model: nn.Module, values: Tensor) -> None:
    """Set the bias of a model's readout, usually to the best constant output.

    Parameters
    ----------
    model : Module
        A model of :mod:`linmem.nn.registry`.
    values : Tensor
        (o,).

    Raises
    ------
    ValueError
        The model has no readout bias of that size.

    Notes
    -----
    With a bias near 0 the hidden units first learn the mean frequency of the targets, all in one direction. On JSB
    Chorales that saturates the tanh of an LMN-A for good, at 11 nats per frame, the loss of the marginals.

    Examples
    --------
    >>> import torch
    >>> from linmem.initialize import set_output_bias_
    >>> from linmem.nn.registry import ModelOptions, build_model
    >>> model = build_model(ModelOptions("lmn-b", 4, 4), 3, 2)
    >>> set_output_bias_(model, torch.tensor([0.5, -0.5]))
    >>> model.readout.bias.tolist()
    [0.5, -0.5]
    """
    bias = _readout_bias(model)
    if bias is None or bias.shape != values.shape:
        found = "no readout bias" if bias is None else f"one of size {len(bias)}"
        raise ValueError(
            f"model must have a readout bias of size {len(values)}, got a {type(model).__name__} with {found}."
        )
    if isinstance(model, SequenceModel) and model.is_joint:  # the biases of every order of the notes
        model.readout.set_note_biases_(None, values)
        return
    bias.copy_(values)


@torch.no_grad()
def set_persistence_(model: SequenceModel, inputs: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
    """Set skip connection and readout bias to the log-odds of each note given whether it sounds now.

    `b_i = logit P(note i | off before)`, `W_s = diag(logit P(note i | on before) − b_i)`: the logistic regression of
    every note on itself, in closed form, with half a frame added to each count. What the memory adds starts small.

    Parameters
    ----------
    model : SequenceModel
        With a skip connection; changed in place.
    inputs, targets : sequences of Tensor
        Training frames and the frames that follow them, (T_i, a) each, with entries 0 or 1.

    Raises
    ------
    ValueError
        The model has no skip connection, or one of another size.

    Examples
    --------
    >>> roll = torch.tensor([[0.0], [1.0], [1.0], [1.0], [0.0], [0.0]])
    >>> model = SequenceModel(nn.LSTM(1, 2, batch_first=True), nn.Linear(2, 1), skip_connection=True)
    >>> set_persistence_(model, [roll[:-1]], [roll[1:]])
    >>> model.readout.bias.item(), (model.skip.weight + model.readout.bias).item()  # log(1.5 / 1.5), log(2.5 / 1.5)
    (0.0, 0.510...)
    """
    now, following = torch.cat(list(inputs)).double(), torch.cat(list(targets)).double()
    if (
        model.skip is None
        or model.skip.weight.shape != (following.shape[1], now.shape[1])
        or now.shape != following.shape
    ):
        found = "none" if model.skip is None else f"one of {model.skip.in_features} to {model.skip.out_features}"
        raise ValueError(f"model must have a skip connection from {now.shape[1]} notes to themselves, got {found}.")
    starts = torch.logit((((1 - now) * following).sum(0) + 0.5) / ((1 - now).sum(0) + 1))
    stays = torch.logit(((now * following).sum(0) + 0.5) / (now.sum(0) + 1))
    model.skip.weight.copy_(torch.diag(stays - starts))
    set_output_bias_(model, starts.to(model.skip.weight))


def _readout_bias(model: nn.Module) -> Tensor | None:
    match model:
        case SequenceModel():
            return model.readout.note_bias if model.is_joint else model.readout.bias
        case UnfoldedNetwork() | ExplicitMemoryNetwork():
            return model.bias_o
        case RNNRBM():
            return model.biases.bias[: model.visible_size]
        case _:
            return None


def _encoder(autoencoder: LinearAutoencoder) -> tuple[Tensor, Tensor]:
    if not isinstance(autoencoder, LinearAutoencoder):
        raise TypeError(f"autoencoder must be a fitted linmem.LinearAutoencoder, got a {type(autoencoder).__name__}.")
    return torch.as_tensor(autoencoder.A_), torch.as_tensor(autoencoder.B_)


def _lag_decoders(autoencoder: LinearAutoencoder, count: int) -> Tensor:
    """Matrices γ^{−i} U_i, (count, f, p), that decode lags 0 … count − 1; zero for lags beyond the history."""
    f = torch.as_tensor(autoencoder.A_).shape[1]
    U = torch.as_tensor(autoencoder.right_vectors_)
    U = U.reshape(-1, f, U.shape[-1])[:count]
    weights = float(autoencoder.lag_decay_) ** -torch.arange(len(U), dtype=U.dtype)
    return torch.cat([U * weights[:, None, None].to(U), U.new_zeros(count - len(U), *U.shape[1:])])


def _fill(module: nn.Module, **values: Tensor) -> None:
    check_fillable(module, **values)
    for name, value in values.items():
        if (parameter := getattr(module, name, None)) is not None:
            parameter.copy_(value)
    reset_norm_limits(module)
