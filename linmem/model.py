"""A sequence model: a recurrent layer that remembers, a linear readout that predicts.

`y_t = W_o dropout(r_t) + b_o` with `r_t` the recurrent layer's output at step t. The output is a logit: its activation
belongs to the loss. Every model of the comparison is called alike: `outputs, state = model(x, state)`, batch first.

Letters: B sequences, T steps, a inputs, o outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from linmem.layers import LMN
from linmem.unfolded import UnfoldedNetwork


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
        Functional units f of an LMN; units of an RNN, GRU, LSTM or unfolded network.
    memory_size : int
        Memory units p of an LMN.
    nonlinearity : str
        Of an LMN's functional part (tanh, relu, selu, identity) or of an RNN (tanh, relu).
    lags : int
        Past hidden states that the unfolded network sees.
    input_dropout : float
        Probability of zeroing an input.
    readout_dropout : float
        Probability of zeroing an entry of what the readout sees.
    """

    model: str = "lmn-b"
    hidden_size: int = 100
    memory_size: int = 250
    nonlinearity: str = "tanh"
    lags: int = 10
    input_dropout: float = 0.0
    readout_dropout: float = 0.0


def _lmn(output: str) -> Callable[[ModelOptions, int, int], nn.Module]:
    def build(options: ModelOptions, inputs: int, outputs: int) -> nn.Module:
        layer = LMN(
            inputs,
            options.hidden_size,
            options.memory_size,
            output=output,
            nonlinearity=options.nonlinearity,
            batch_first=True,
        )
        width = options.memory_size if output == "memory" else options.hidden_size
        return _with_readout(layer, width, outputs, options)

    return build


def _rnn(options: ModelOptions, inputs: int, outputs: int) -> nn.Module:
    layer = nn.RNN(inputs, options.hidden_size, nonlinearity=options.nonlinearity, batch_first=True)
    return _with_readout(layer, options.hidden_size, outputs, options)


def _gru(options: ModelOptions, inputs: int, outputs: int) -> nn.Module:
    layer = nn.GRU(inputs, options.hidden_size, batch_first=True)
    return _with_readout(layer, options.hidden_size, outputs, options)


def _lstm(options: ModelOptions, inputs: int, outputs: int) -> nn.Module:
    layer = nn.LSTM(inputs, options.hidden_size, batch_first=True)
    return _with_readout(layer, options.hidden_size, outputs, options)


def _unfolded(options: ModelOptions, inputs: int, outputs: int) -> nn.Module:
    return UnfoldedNetwork(inputs, options.hidden_size, outputs, lags=options.lags)


def _with_readout(layer: nn.Module, width: int, outputs: int, options: ModelOptions) -> SequenceModel:
    return SequenceModel(layer, nn.Linear(width, outputs), options.input_dropout, options.readout_dropout)


MODELS: dict[str, tuple[Callable[[ModelOptions, int, int], nn.Module], str]] = {
    "lmn-a": (_lmn("functional"), "Linear Memory Network read from its functional part [L18, eqs. 9-11]"),
    "lmn-b": (_lmn("memory"), "Linear Memory Network read from its memory [L18, eqs. 9-10, 12]"),
    "lstm": (_lstm, "Long Short-Term Memory, torch.nn.LSTM [Hochreiter & Schmidhuber 1997]"),
    "gru": (_gru, "Gated Recurrent Unit, torch.nn.GRU [Cho et al. 2014]"),
    "rnn": (_rnn, "Elman network, torch.nn.RNN [Elman 1990]"),
    "unfolded": (_unfolded, "feed-forward network over the last k hidden states, SELU [L18, section 4.1]"),
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
