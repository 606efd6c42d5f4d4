"""The models that can be trained by name; `linmem.nn.options` describes them.

`MODELS` maps a name to a builder and a one-line description; `build_model` calls the builder. All models share one
signature: `outputs, state = model(x, state)`, batch first, where the outputs are logits.

Symbols: a inputs, o outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace

import torch
from torch import nn

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
    uniform_,
)
from linmem.nn.lmn import LMN
from linmem.nn.multiscale import MultiScaleLMN
from linmem.nn.nade import NADE
from linmem.nn.nade.windows import RECENT
from linmem.nn.options import ModelOptions
from linmem.nn.sequence_model import SequenceModel
from linmem.nn.solved_memory import SolvedMemory, SolvedMemoryModel
from linmem.nn.unfolded import ExplicitMemoryNetwork, UnfoldedNetwork
from linmem.validation import check_count

COLUMNS_WITH_ONSETS = 176  # 88 notes, then their onsets

__all__ = ["MODELS", "ModelOptions", "build_model"]

LayerBuilder = Callable[[ModelOptions, int], tuple[nn.Module, int]]  # (options, a) → (layer, size of its output)
ModelBuilder = Callable[[ModelOptions, int, int], nn.Module]  # (options, a, o) → model


def _lmn(modify: Callable[[LMN], object] | None = None, output: str = "memory", memory: str = "dense") -> LayerBuilder:
    """Build an LMN whose memory is set or constrained by `modify`."""

    def build(options: ModelOptions, inputs: int) -> tuple[nn.Module, int]:
        f, p, sigma, layers = options.hidden_size, options.memory_size, options.nonlinearity, options.functional_layers
        layer = LMN(
            inputs,
            f if layers == 1 else (f,) * layers,
            p,
            output=output,
            nonlinearity=sigma,
            batch_first=True,
            limit_norms=options.limit_norms,
            memory=memory,
        )
        if options.weight_init == "uniform":
            uniform_(layer)
        if modify:
            modify(layer)
        return layer, layer.output_size

    return build


def _elman(modify: Callable[[LMN], object]) -> LayerBuilder:
    """Build an LMN in the form of an Elman network, m_t = h_t, whose weights can be set and parametrized."""

    def build(options: ModelOptions, inputs: int) -> tuple[nn.Module, int]:
        units, sigma = options.hidden_size, options.nonlinearity
        layer = LMN(inputs, units, units, nonlinearity=sigma, batch_first=True, limit_norms=options.limit_norms)
        modify(layer)
        return layer, units

    return build


def _torch_rnn(kind: Callable[..., nn.RNNBase]) -> LayerBuilder:
    def build(options: ModelOptions, inputs: int) -> tuple[nn.Module, int]:
        extra: dict[str, str] = {"nonlinearity": options.nonlinearity} if kind is nn.RNN else {}
        return kind(inputs, options.hidden_size, batch_first=True, **extra), options.hidden_size

    return build


def _linear(options: ModelOptions, inputs: int) -> tuple[nn.Module, int]:
    return _lmn(linear_)(replace(options, nonlinearity="identity"), inputs)


def _linear_orthogonal(options: ModelOptions, inputs: int) -> tuple[nn.Module, int]:
    layer, width = _linear(options, inputs)
    assert isinstance(layer, LMN)
    return keep_orthogonal_(layer), width


def _orthogonal_elman(layer: LMN) -> None:
    keep_orthogonal_(elman_(layer), weight="weight_mh")


def _multiscale(options: ModelOptions, inputs: int) -> tuple[nn.Module, int]:
    f, p, scales, sigma = options.hidden_size, options.memory_size, options.scales, options.nonlinearity
    layer = MultiScaleLMN(inputs, f, p, scales, nonlinearity=sigma, batch_first=True)
    return layer, layer.output_size


def _clockwork(options: ModelOptions, inputs: int) -> tuple[nn.Module, int]:
    f, sigma = options.hidden_size, options.nonlinearity
    return ClockworkRNN(inputs, f, options.scales, nonlinearity=sigma, batch_first=True), f


def _lmu(options: ModelOptions, inputs: int) -> tuple[nn.Module, int]:
    f, sigma, p, channels = options.hidden_size, options.nonlinearity, options.memory_size, options.channels
    if p % channels:
        nearest = max(p - p % channels, channels)
        raise ValueError(f"memory_size must be a multiple of channels ({channels}) for lmu, got {p}. Use {nearest}.")
    return LMU(inputs, f, p // channels, options.window, channels, nonlinearity=sigma, batch_first=True), f


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


def _readout(options: ModelOptions, width: int, inputs: int, outputs: int) -> nn.Linear | NADE:
    if options.readout == "nade":
        if options.nade_kind == "windows" and inputs != outputs:
            raise ValueError(
                f"nade_kind must be plain unless inputs are frames of {outputs} notes, got {inputs} inputs."
            )
        order = options.note_order
        if order == "auto":
            order = "ascending" if outputs == COLUMNS_WITH_ONSETS else "descending"
        return NADE(width, outputs, options.nade_size, order, options.nade_orders, options.nade_kind)
    return nn.Linear(width, outputs)


def _with_readout(build: LayerBuilder) -> ModelBuilder:
    """Complete a layer to a `SequenceModel`."""

    def build_model(options: ModelOptions, inputs: int, outputs: int) -> nn.Module:
        layer, width = build(options, inputs)
        return SequenceModel(
            layer,
            _readout(options, width, inputs, outputs),
            options.input_dropout,
            options.readout_dropout,
            skip_connection=options.skip_connection,
        )

    return build_model


def _rnn_rbm(options: ModelOptions, inputs: int, outputs: int) -> nn.Module:
    layer, width = _torch_rnn(nn.RNN)(options, inputs)
    dropouts = options.input_dropout, options.readout_dropout
    return RNNRBM(layer, width, outputs, options.memory_size, *dropouts, options.cd_steps)


def _unfolded(options: ModelOptions, inputs: int, outputs: int) -> nn.Module:
    return UnfoldedNetwork(inputs, options.hidden_size, outputs, lags=options.lags)


def _explicit(options: ModelOptions, inputs: int, outputs: int) -> nn.Module:
    return ExplicitMemoryNetwork(inputs, options.hidden_size, outputs, lags=options.lags)


def _solved(options: ModelOptions, inputs: int, outputs: int) -> nn.Module:
    windows = options.readout == "nade" and options.nade_kind == "windows"
    recent = RECENT - 1 if windows else 0
    memory = SolvedMemory(inputs, options.memory_size, len(options.lag_decay), recent)
    readout = _readout(options, memory.output_size, inputs, outputs)
    hidden = 0 if options.readout == "ridge" else options.hidden_size
    return SolvedMemoryModel(memory, readout, hidden, options.input_dropout, options.readout_dropout)


MODELS: dict[str, tuple[ModelBuilder, str]] = {
    "lmn-a": (_with_readout(_lmn(output="functional")), "Linear Memory Network, output from functional units [L18]"),
    "lmn-b": (_with_readout(_lmn()), "Linear Memory Network, output from memory units [L18]"),
    "lmn-diagonal": (_with_readout(_lmn(memory="diagonal")), "LMN-B with p eigenvalues instead of a p × p matrix"),
    "lmn-delay": (_with_readout(_lmn(delay_line_)), "LMN-B whose memory is a delay line of its hidden states [E21]"),
    "lmn-fixed": (_with_readout(_lmn(orthogonal_)), "LMN-B with a fixed random orthogonal W_mm [E21]"),
    "lmn-orthogonal": (_with_readout(_lmn(keep_orthogonal_)), "LMN-B, W_mm parametrized as an orthogonal matrix [S20]"),
    "lmn-detach": (_with_readout(_detaching), "LMN-B with stochastic detach of the gradient from memory to h [S20]"),
    "lmn-multiscale": (_with_readout(_multiscale), "LMN with several memory modules, each half as fast [E21]"),
    "lstm": (_with_readout(_lstm), "Long Short-Term Memory, torch.nn.LSTM [Hochreiter & Schmidhuber 1997]"),
    "gru": (_with_readout(_torch_rnn(nn.GRU)), "Gated Recurrent Unit, torch.nn.GRU [Cho et al. 2014]"),
    "rnn": (_with_readout(_torch_rnn(nn.RNN)), "Elman network, torch.nn.RNN [Elman 1990]"),
    "rnn-orthogonal": (_with_readout(_elman(_orthogonal_elman)), "Elman network with an orthogonal W_hh [S20]"),
    "rnn-linear": (_with_readout(_linear), "linear recurrent network [E21]"),
    "rnn-linear-orthogonal": (_with_readout(_linear_orthogonal), "linear recurrent network, orthogonal W_mm [E21]"),
    "echo-state": (_with_readout(_elman(echo_state_)), "random Elman network, only the readout trained [Jaeger 2001]"),
    "clockwork": (_with_readout(_clockwork), "Elman network in groups of different speeds [Koutník et al. 2014]"),
    "lmu": (_with_readout(_lmu), "Legendre Memory Unit [Voelker et al. 2019]"),
    "lru": (_with_readout(_lru), "Linear Recurrent Unit, diagonal and complex [Orvieto et al. 2023]"),
    "solved": (_solved, "memories solved in closed form, feed-forward readout trained on single steps or solved"),
    "rnn-rbm": (_rnn_rbm, "Elman network that sets the biases of an RBM over the next frame [B12]"),
    "explicit": (_explicit, "unfolded network with its last k hidden states in a shift register [L18, figure 2b]"),
    "unfolded": (_unfolded, "feed-forward network over the last k hidden states, SELU [L18 §4.1]"),
}


def build_model(options: ModelOptions, input_size: int, output_size: int, seed: int = 0) -> nn.Module:
    """Build the model that `options` describe.

    Parameters
    ----------
    options : ModelOptions
    input_size, output_size : int
        a and o.
    seed : int
        Seed of the initial weights. The global random generator does not change.

    Returns
    -------
    Module
        Called as `outputs, state = model(x, state)`, batch first.

    Raises
    ------
    ValueError
        `options.model` is unknown.

    Examples
    --------
    >>> model = build_model(ModelOptions("lmn-b", hidden_size=8, memory_size=16), 3, 2)
    >>> model(torch.zeros(4, 10, 3))[0].shape
    torch.Size([4, 10, 2])
    """
    if options.model not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, got {options.model!r}.")
    options.check_memory(check_count("input_size", input_size), check_count("output_size", output_size))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(check_count("seed", seed, least=0))  # that of CUDA devices does not change
        model = MODELS[options.model][0](options, input_size, output_size)
    if isinstance(model, SequenceModel):
        model.recipe = asdict(options) | {"input_size": input_size, "output_size": output_size}
    return model
