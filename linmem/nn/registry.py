"""A sequence model: a recurrent layer that remembers, a linear readout that predicts.

`y_t = W_o dropout(r_t) + b_o` with `r_t` the recurrent layer's output at step t. The output is a logit: its activation
belongs to the loss. Every model of the comparison is called alike: `outputs, state = model(x, state)`, batch first.

Letters: B sequences, T steps, a inputs, o outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from linmem.nn.baselines import (
    LMU,
    LRU,
    RNNRBM,
    ClockworkRNN,
    StochasticDetach,
    delay_line_,
    echo_state_,
    elman_,
    forget_bias_,
    keep_orthogonal_,
    linear_,
    orthogonal_,
)
from linmem.nn.lmn import LMN
from linmem.nn.multiscale import MultiScaleLMN
from linmem.nn.unfolded import ExplicitMemoryNetwork, UnfoldedNetwork


class SequenceModel(nn.Module):
    """A recurrent layer with a linear readout.

    Parameters
    ----------
    recurrent : Module
        A batch-first layer called as `r, state = recurrent(x, state)`: `LMN`, `torch.nn.LSTM`, ….
    readout : Linear
        From the layer's output to o logits.
    input_dropout, readout_dropout : float
        Probability of zeroing an input, and an entry of what the readout sees.
    """

    def __init__(
        self, recurrent: nn.Module, readout: nn.Linear, input_dropout: float = 0.0, readout_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.recurrent, self.readout = recurrent, readout
        self.input_size = getattr(recurrent, "input_size", None)
        self.input_dropout, self.readout_dropout = nn.Dropout(input_dropout), nn.Dropout(readout_dropout)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """`x` (B, T, a) or (T, a) → logits (B, T, o) or (T, o), and the state after the last step."""
        remembered, state = self.recurrent(self.input_dropout(x), state)
        return self.readout(self.readout_dropout(remembered)), state


@dataclass(frozen=True)
class ModelOptions:
    """What a model is made of; with it, and the weights, a run can be rebuilt.

    Parameters
    ----------
    model : str
        A name of `MODELS`.
    hidden_size : int
        Functional units f of an LMN; units of any other network.
    memory_size : int
        Memory units p of an LMN; the order of an LMU, the state of an LRU, the hidden units of an RBM.
    nonlinearity : str
        Of an LMN's functional part (tanh, relu, selu, identity) or of an RNN (tanh, relu). LSTM, GRU, unfolded and
        linear networks have their own.
    lags : int
        Past hidden states that the unfolded network sees.
    scales : int
        Modules of a multi-scale LMN, groups of a Clockwork RNN.
    window : float
        Steps that an LMU's memory spans.
    channels : int
        Signals that an LMU remembers, each with `memory_size` / `channels` coefficients.
    forget_bias : float
        Of an LSTM's forget gates at the start; 0 leaves torch's own.
    detach : float
        Probability of stopping the gradient from memory to function, for lmn-detach.
    input_dropout : float
        Probability of zeroing an input; not of rnn-rbm, unfolded and explicit.
    readout_dropout : float
        Probability of zeroing an entry of what the readout sees; not of these three.

    Raises
    ------
    ValueError
        A number is out of range, or the model does not have what is asked of it.
    """

    model: str = "lmn-b"
    hidden_size: int = 100
    memory_size: int = 250
    nonlinearity: str = "tanh"
    lags: int = 10
    scales: int = 4
    window: float = 64.0
    channels: int = 1
    forget_bias: float = 0.0
    detach: float = 0.25
    input_dropout: float = 0.0
    readout_dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("hidden_size", "memory_size", "lags", "scales", "window", "channels"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}: a number above 0 was wanted")
        for name in ("detach", "input_dropout", "readout_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}: a probability from 0 to 1 was wanted")
        own = _OWN_NONLINEARITY.get(self.model)
        if own and self.nonlinearity not in (own, "tanh"):  # tanh is what stands there if nothing is said
            raise ValueError(
                f"nonlinearity is {self.nonlinearity!r}, but {self.model} has its own, {own}:"
                " leave it out for this model"
            )
        for name in ("input_dropout", "readout_dropout"):
            if self.model in _WITHOUT_DROPOUT and getattr(self, name):
                raise ValueError(
                    f"{name} is {getattr(self, name)}, but {self.model} has no dropout: leave it out for this model"
                )


_OWN_NONLINEARITY = {
    "lstm": "tanh",
    "gru": "tanh",
    "unfolded": "selu",
    "explicit": "selu",
    "rnn-linear": "identity",
    "rnn-linear-orthogonal": "identity",
}
_WITHOUT_DROPOUT = ("rnn-rbm", "unfolded", "explicit")


Layer = Callable[[ModelOptions, int], tuple[nn.Module, int]]  # options and inputs → a layer and the width of its output


def _lmn(change: Callable[[LMN], object] | None = None, output: str = "memory") -> Layer:
    """Build an LMN, its memory set or constrained by `change`."""

    def build(options: ModelOptions, inputs: int) -> tuple[nn.Module, int]:
        f, p, sigma = options.hidden_size, options.memory_size, options.nonlinearity
        layer = LMN(inputs, f, p, output=output, nonlinearity=sigma, batch_first=True)
        if change:
            change(layer)
        return layer, layer.output_size

    return build


def _elman(change: Callable[[LMN], object]) -> Layer:
    """Build an LMN in Elman form, m_t = h_t, so that its weights can be set and constrained like an LMN's."""

    def build(options: ModelOptions, inputs: int) -> tuple[nn.Module, int]:
        units, sigma = options.hidden_size, options.nonlinearity
        layer = LMN(inputs, units, units, nonlinearity=sigma, batch_first=True)
        change(layer)
        return layer, units

    return build


def _torch_rnn(kind: Callable[..., nn.RNNBase]) -> Layer:
    def build(options: ModelOptions, inputs: int) -> tuple[nn.Module, int]:
        extra: dict[str, str] = {"nonlinearity": options.nonlinearity} if kind is nn.RNN else {}
        return kind(inputs, options.hidden_size, batch_first=True, **extra), options.hidden_size

    return build


def _linear(options: ModelOptions, inputs: int) -> tuple[nn.Module, int]:
    return _lmn(linear_)(replace(options, nonlinearity="identity"), inputs)


def _multiscale(options: ModelOptions, inputs: int) -> tuple[nn.Module, int]:
    f, p, scales, sigma = options.hidden_size, options.memory_size, options.scales, options.nonlinearity
    layer = MultiScaleLMN(inputs, f, p, scales, nonlinearity=sigma, batch_first=True)
    return layer, layer.output_size


def _clockwork(options: ModelOptions, inputs: int) -> tuple[nn.Module, int]:
    f, sigma = options.hidden_size, options.nonlinearity
    return ClockworkRNN(inputs, f, options.scales, nonlinearity=sigma, batch_first=True), f


def _lmu(options: ModelOptions, inputs: int) -> tuple[nn.Module, int]:
    f, sigma, order = options.hidden_size, options.nonlinearity, options.memory_size // options.channels
    layer = LMU(inputs, f, order, options.window, options.channels, nonlinearity=sigma, batch_first=True)
    return layer, f


def _lru(options: ModelOptions, inputs: int) -> tuple[nn.Module, int]:
    f, sigma = options.hidden_size, options.nonlinearity
    return LRU(inputs, options.memory_size, f, nonlinearity=sigma, batch_first=True), f


def _lstm(options: ModelOptions, inputs: int) -> tuple[nn.Module, int]:
    layer = nn.LSTM(inputs, options.hidden_size, batch_first=True)
    return (forget_bias_(layer, options.forget_bias) if options.forget_bias else layer), options.hidden_size


def _detaching(options: ModelOptions, inputs: int) -> tuple[nn.Module, int]:
    layer, width = _lmn()(options, inputs)
    assert isinstance(layer, LMN)
    return StochasticDetach(layer, options.detach), width


def _rnn_rbm(options: ModelOptions, inputs: int, outputs: int) -> nn.Module:
    layer, width = _torch_rnn(nn.RNN)(options, inputs)
    return RNNRBM(layer, width, outputs, options.memory_size)


def _unfolded(options: ModelOptions, inputs: int, outputs: int) -> nn.Module:
    return UnfoldedNetwork(inputs, options.hidden_size, outputs, lags=options.lags)


def _explicit(options: ModelOptions, inputs: int, outputs: int) -> nn.Module:
    return ExplicitMemoryNetwork(inputs, options.hidden_size, outputs, lags=options.lags)


def _read(build: Layer) -> Callable[[ModelOptions, int, int], nn.Module]:
    """Put dropout before a layer, dropout and a linear readout behind it."""

    def build_with_readout(options: ModelOptions, inputs: int, outputs: int) -> nn.Module:
        layer, width = build(options, inputs)
        return SequenceModel(layer, nn.Linear(width, outputs), options.input_dropout, options.readout_dropout)

    return build_with_readout


def _linear_orthogonal(options: ModelOptions, inputs: int) -> tuple[nn.Module, int]:
    layer, width = _linear(options, inputs)
    assert isinstance(layer, LMN)
    return keep_orthogonal_(layer), width


def _orthogonal_elman(layer: LMN) -> None:
    keep_orthogonal_(elman_(layer), weight="weight_mh")


MODELS: dict[str, tuple[Callable[[ModelOptions, int, int], nn.Module], str]] = {
    "lmn-a": (_read(_lmn(output="functional")), "Linear Memory Network read from its functional part [L18]"),
    "lmn-b": (_read(_lmn()), "Linear Memory Network read from its memory [L18]"),
    "lmn-delay": (_read(_lmn(delay_line_)), "LMN-B whose memory is a delay line of its hidden states [E21]"),
    "lmn-fixed": (_read(_lmn(orthogonal_)), "LMN-B with a fixed random orthogonal W_mm [E21]"),
    "lmn-orthogonal": (_read(_lmn(keep_orthogonal_)), "LMN-B whose W_mm is trained among orthogonal matrices [S20]"),
    "lmn-detach": (_read(_detaching), "LMN-B whose gradient from function to memory is cut at random [S20]"),
    "lmn-multiscale": (_read(_multiscale), "LMN of several memories, each half as fast as the last [E21]"),
    "lstm": (_read(_lstm), "Long Short-Term Memory, torch.nn.LSTM [Hochreiter & Schmidhuber 1997]"),
    "gru": (_read(_torch_rnn(nn.GRU)), "Gated Recurrent Unit, torch.nn.GRU [Cho et al. 2014]"),
    "rnn": (_read(_torch_rnn(nn.RNN)), "Elman network, torch.nn.RNN [Elman 1990]"),
    "rnn-orthogonal": (_read(_elman(_orthogonal_elman)), "Elman network kept orthogonal [S20]"),
    "rnn-linear": (_read(_linear), "linear recurrent network [E21]"),
    "rnn-linear-orthogonal": (_read(_linear_orthogonal), "linear recurrent network kept orthogonal [E21]"),
    "echo-state": (_read(_elman(echo_state_)), "random Elman network, only its readout trained [Jaeger 2001]"),
    "clockwork": (_read(_clockwork), "Elman network in groups of different speeds [Koutník et al. 2014]"),
    "lmu": (_read(_lmu), "Legendre Memory Unit [Voelker et al. 2019]"),
    "lru": (_read(_lru), "Linear Recurrent Unit, diagonal and complex [Orvieto et al. 2023]"),
    "rnn-rbm": (_rnn_rbm, "Elman network that sets the biases of an RBM over the next frame [B12]"),
    "explicit": (_explicit, "the unfolded network with its last k hidden states in a shift register [L18, figure 2b]"),
    "unfolded": (_unfolded, "feed-forward network over the last k hidden states, SELU [L18 §4.1]"),
}


def build_model(options: ModelOptions, input_size: int, output_size: int, seed: int = 0) -> nn.Module:
    """Build the model that `options` describe, its weights drawn from `seed`; the global generator is left alone.

    Raises
    ------
    ValueError
        `options.model` is unknown; the known ones are listed.
    """
    if options.model not in MODELS:
        raise ValueError(f"unknown model {options.model!r}: the known ones are {', '.join(MODELS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS[options.model][0](options, input_size, output_size)


def parameter_count(model: nn.Module) -> int:
    """Count the trainable weights."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
