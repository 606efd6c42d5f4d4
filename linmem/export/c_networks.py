"""C programs of networks: LMN, LSTM, GRU and Elman layers, and solved memories, with a linear readout.

Symbols: a inputs, f functional units, p memory units, h hidden units, o outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from linmem.data.standardization import Standardization
from linmem.export.c_program import Program
from linmem.nn.baselines import StochasticDetach
from linmem.nn.lmn import LMN
from linmem.nn.scan.memory import as_matrix
from linmem.nn.sequence_model import SequenceModel
from linmem.nn.solved_memory import SolvedMemoryModel


def network_program(
    model: nn.Module, standardization: Standardization | None = None, *, feeds_back: bool = False
) -> Program:
    """The program of a network.

    Parameters
    ----------
    model : Module
        A `SequenceModel` with an LMN, LSTM, GRU or RNN, or a `SolvedMemoryModel`, with a linear readout.
    standardization : Standardization, optional
        Statistics that inputs are standardized with; with `feeds_back` the outputs return to the units of the data.
    feeds_back : bool
        Whether the outputs are predictions of the next inputs.

    Raises
    ------
    ValueError
        The model has a part that cannot be written in C.
    """
    if not isinstance(model, SequenceModel) or model.is_joint:
        kind = "a joint readout" if isinstance(model, SequenceModel) else type(model).__name__
        raise ValueError(f"model must be a layer with a linear readout for C, got {kind}. Export another run.")
    outputs = model.readout.out_features
    program = Program(int(model.input_size or 0), outputs, feeds_back=feeds_back)
    x = _standardize(program, standardization)
    if isinstance(model, SolvedMemoryModel):
        _solved(program, model, x)
    else:
        source, width = _recurrent(program, model.recurrent, x)
        _linear(program, "y", "readout", model.readout, source, width)
        if model.skip is not None:
            weight = program.array("skip", _numpy(model.skip.weight))
            program.add_product("y", weight, x, model.skip.weight.shape)
    if feeds_back and standardization:
        program.add(f"for (int i = 0; i < {outputs}; i++)\n        y[i] = y[i] * input_scale[i] + input_mean[i];")
    return program


def _numpy(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().cpu().double().numpy()
    return array


def _standardize(program: Program, statistics: Standardization | None) -> str:
    """Name of the array that the model reads."""
    if statistics is None:
        return "x"
    program.array("input_mean", statistics.mean)
    program.array("input_scale", statistics.scale)
    program.buffer("input", program.inputs)
    program.add(
        f"for (int i = 0; i < {program.inputs}; i++)\n        input[i] = (x[i] - input_mean[i]) / input_scale[i];"
    )
    return "input"


def _linear(program: Program, target: str, name: str, layer: nn.Linear, source: str, width: int) -> None:
    weight = program.array(f"{name}_weight", _numpy(layer.weight))
    bias = None if layer.bias is None else program.array(f"{name}_bias", _numpy(layer.bias))
    program.affine(target, weight, bias, source, (layer.out_features, width))


def _recurrent(program: Program, layer: Any, x: str) -> tuple[str, int]:
    """Add the layer; returns the name and the size of its output."""
    if isinstance(layer, StochasticDetach):
        layer = layer.lmn
    if getattr(layer, "bidirectional", False):
        raise ValueError("model must read forward only for C, got a bidirectional layer. Train another.")
    if isinstance(layer, LMN):
        return _lmn(program, layer, x)
    if isinstance(layer, nn.RNNBase) and not getattr(layer, "proj_size", 0):
        return _torch_layer(program, layer, x)
    raise ValueError(
        f"model must be an LMN, LSTM, GRU, RNN or solved memory for C, got {type(layer).__name__}. Export another run."
    )


def _lmn(program: Program, layer: LMN, x: str) -> tuple[str, int]:
    width, p = layer.input_size, layer.memory_size
    for index in range(layer.num_layers):
        w = layer._weights(f"_l{index}")

        def array(name: str, value: Tensor | None, index: int = index) -> str | None:
            return None if value is None else program.array(f"{name}_{index}", _numpy(value))

        m, h = program.keep(f"memory_{index}", p), program.buffer(f"functional_{index}", w.widths[0])
        program.affine(h, str(array("W_xh", w.xh)), array("b_h", w.bias_h), x, (w.widths[0], width))
        program.add_product(h, str(array("W_mh", w.mh)), m, w.mh.shape)
        _activate(program, layer.nonlinearity, h, w.widths[0])
        for depth, (weight, bias) in enumerate(w.deep, 1):
            deep = program.buffer(f"functional_{index}_{depth}", len(weight))
            program.affine(deep, str(array(f"W_h{depth}", weight)), array(f"b_h{depth}", bias), h, weight.shape)
            _activate(program, layer.nonlinearity, deep, len(weight))
            h = deep
        after = program.buffer("following", p)
        program.affine(after, str(array("W_hm", w.hm)), array("b_m", w.bias_m), h, w.hm.shape)
        program.add_product(after, str(array("W_mm", as_matrix(w.mm))), m, (p, p))
        program.copy(m, after, p)
        x, width = (m, p) if layer.output == "memory" else (h, w.widths[-1])
    return x, width


def _activate(program: Program, nonlinearity: str, target: str, size: int) -> None:
    if nonlinearity != "identity":
        program.add(f"apply_{nonlinearity}({target}, {size});")


def _torch_layer(program: Program, layer: nn.RNNBase, x: str) -> tuple[str, int]:
    """LSTM, GRU or RNN: the gates of all units, then the new state."""
    h, width = layer.hidden_size, layer.input_size
    gates = {"LSTM": 4, "GRU": 3}.get(layer.mode, 1)
    for k in range(layer.num_layers):
        names = {}
        for part in ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if layer.bias else ())):
            names[part] = program.array(f"{part}_{k}", _numpy(getattr(layer, f"{part}_l{k}")))
        state, z = program.keep(f"hidden_{k}", h), program.buffer(f"gates_{k}", gates * h)
        program.affine(z, names["weight_ih"], names.get("bias_ih"), x, (gates * h, width))
        if layer.mode == "GRU":
            u = program.buffer(f"recurrent_{k}", gates * h)
            program.affine(u, names["weight_hh"], names.get("bias_hh"), state, (gates * h, h))
            program.add(_GRU.format(h=h, z=z, u=u, state=state))
        else:
            if layer.bias:
                program.add(f"for (int i = 0; i < {gates * h}; i++)\n        {z}[i] += {names['bias_hh']}[i];")
            program.add_product(z, names["weight_hh"], state, (gates * h, h))
            if layer.mode == "LSTM":
                program.add(_LSTM.format(h=h, z=z, state=state, cell=program.keep(f"cell_{k}", h)))
            else:
                _activate(program, str(layer.nonlinearity), z, h)
                program.copy(state, z, h)
        x, width = state, h
    return x, width


_LSTM = """for (int i = 0; i < {h}; i++) {{
        {cell}[i] = sigmoid({z}[i + {h}]) * {cell}[i] + sigmoid({z}[i]) * tanhf({z}[i + 2 * {h}]);
        {state}[i] = sigmoid({z}[i + 3 * {h}]) * tanhf({cell}[i]);
    }}"""
_GRU = """for (int i = 0; i < {h}; i++) {{
        float update = sigmoid({z}[i + {h}] + {u}[i + {h}]);
        float candidate = tanhf({z}[i + 2 * {h}] + sigmoid({z}[i] + {u}[i]) * {u}[i + 2 * {h}]);
        {state}[i] = (1.0f - update) * candidate + update * {state}[i];
    }}"""


def _solved(program: Program, model: SolvedMemoryModel, x: str) -> None:
    """Y = A (x − μ) + B y per memory; the readout reads x and the states, whose scales its weights absorb."""
    memory = model.recurrent
    n, p, a = memory.memories, memory.memory_size, memory.input_size
    state, after = program.keep("memory", n * p), program.buffer("following", n * p)
    A = _numpy(memory.A)
    bias = -np.einsum("npi,ni->np", A, _numpy(memory.mean))
    program.affine(after, program.array("A", A), program.array("A_mean", bias), x, (n * p, a))
    for index in range(n):
        weight = program.array(f"B_{index}", _numpy(memory.B[index]))
        program.add_product(f"{after} + {index * p}", weight, f"{state} + {index * p}", (p, p))
    program.copy(state, after, n * p)
    scale = np.concatenate([np.ones(a), _numpy(memory.scale).ravel()])

    def read(target: str, name: str, layer: nn.Linear) -> None:
        weight = _numpy(layer.weight) / scale
        bias = None if layer.bias is None else program.array(f"{name}_bias", _numpy(layer.bias))
        program.affine(target, program.array(f"{name}_x", weight[:, :a]), bias, x, (layer.out_features, a))
        program.add_product(target, program.array(f"{name}_memory", weight[:, a:]), state, (layer.out_features, n * p))

    read("y", "readout", model.readout)
    if model.hidden is not None and model.hidden_readout is not None:
        units = model.hidden.out_features
        hidden = program.buffer("hidden", units)
        read(hidden, "hidden_layer", model.hidden)
        program.add(f"apply_relu({hidden}, {units});")
        weight = program.array("hidden_readout", _numpy(model.hidden_readout.weight))
        program.add_product("y", weight, hidden, model.hidden_readout.weight.shape)
