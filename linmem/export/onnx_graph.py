"""ONNX graphs of networks, with dynamic batch and steps, and of one step with its state; compared with ONNX Runtime.

    sequences: x (B, T, a), state_0, … → outputs (B, T, o), next_state_0, …
    one step:  x (B, a), state_0, … → outputs (B, o), next_state_0, …

Inputs are in the units of the data, where the run was standardized. Outputs are logits for notes and classes.

Symbols: B sequences, T steps, a inputs, o outputs, p memory units, n memories.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from linmem.data.standardization import Standardization
from linmem.export.agreement import Agreement, agreement
from linmem.nn.baselines import StochasticDetach
from linmem.nn.lmn import LMN
from linmem.nn.sequence_model import SequenceModel
from linmem.nn.solved_memory import SolvedMemory, SolvedMemoryModel
from linmem.storage.atomic import replacing

OPSET = 18
TOLERANCE = 1e-4  # relative: ONNX Runtime and PyTorch, both in float32


class Graph(nn.Module):
    """A network with its state as separate tensors, and with the standardization of its run.

    Parameters
    ----------
    model : SequenceModel
        With an LMN, LSTM, GRU, RNN or solved memories, and a linear readout.
    standardization : Standardization, optional
        Applied to the inputs.
    invert : bool
        Whether outputs return to the units of the data.
    one_step : bool
        Whether inputs are (B, a).

    Raises
    ------
    ValueError
        The model has another layer or readout.
    """

    def __init__(
        self,
        model: nn.Module,
        standardization: Standardization | None = None,
        *,
        invert: bool = False,
        one_step: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(model, SequenceModel) or model.is_joint:
            kind = "a joint readout" if isinstance(model, SequenceModel) else type(model).__name__
            raise ValueError(f"model must be a layer with a linear readout for ONNX, got {kind}. Export another run.")
        self.layer, self.model = _layer(model), model
        self.invert, self.one_step = invert and standardization is not None, one_step
        self.register_buffer("mean", standardization.mean if standardization else torch.zeros(1))
        self.register_buffer("scale", standardization.scale if standardization else torch.ones(1))
        self.mean: Tensor
        self.scale: Tensor

    def start(self, batch: int) -> tuple[Tensor, ...]:
        """Zero state of `batch` sequences."""
        if isinstance(self.layer, LMN):
            return (torch.zeros(self.layer.num_layers * self.layer.num_directions, batch, self.layer.memory_size),)
        state = torch.zeros(self.layer.num_layers, batch, self.layer.hidden_size)
        return (state, state.clone()) if self.layer.mode == "LSTM" else (state,)

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Outputs and the state after the last step."""
        if self.one_step:
            x = x.unsqueeze(1)
        x = (x - self.mean) / self.scale
        if self.one_step and isinstance(self.layer, LMN):
            hidden, m = self.layer.step(x[:, 0], state[0])
            hidden, after = hidden.unsqueeze(1), (m,)
        else:
            hidden, last = self.layer(x, state[0] if len(state) == 1 else state)
            after = last if isinstance(last, tuple) else (last,)
        outputs = self._readout(x, hidden)
        if self.invert:
            outputs = outputs * self.scale + self.mean
        return (outputs[:, 0] if self.one_step else outputs), *after

    def _readout(self, x: Tensor, hidden: Tensor) -> Tensor:
        model = self.model
        if isinstance(model, SolvedMemoryModel):
            scaled = hidden / model.recurrent.scale.flatten()
            features: Any = model.predict(torch.cat([x, scaled], -1))
            outputs: Tensor = features
            return outputs
        outputs = model.readout(hidden)
        return outputs if model.skip is None else outputs + model.skip(x)


def _layer(model: SequenceModel) -> Any:
    layer = model.recurrent
    if isinstance(layer, StochasticDetach):
        layer = layer.lmn
    if isinstance(layer, SolvedMemory):
        return solved_layer(layer)
    if isinstance(layer, LMN) and is_parametrized(layer):
        return plain_layer(layer)
    if isinstance(layer, LMN) or (isinstance(layer, nn.RNNBase) and not layer.bidirectional):
        return layer
    raise ValueError(
        f"model must be an LMN, LSTM, GRU, RNN or solved memory for ONNX, got {type(layer).__name__}. "
        "Export another run."
    )


def plain_layer(layer: LMN) -> LMN:
    """An LMN with the values of a parametrized one as ordinary parameters."""
    plain = LMN(
        layer.input_size,
        layer.hidden_size,
        layer.memory_size,
        layer.num_layers,
        output=layer.output,
        nonlinearity=layer.nonlinearity,
        bias=layer.bias,
        batch_first=layer.batch_first,
        memory=layer.memory,
        limit_norms=False,
    )
    plain.load_state_dict({name: getattr(layer, name).detach() for name in plain.state_dict()})
    return plain.eval()


def solved_layer(memory: SolvedMemory) -> LMN:
    """Solved memories as one linear LMN: h_t = A (x_t − μ), m_t = h_t + B m_{t-1}, B with a block per memory."""
    n, p, a = memory.memories, memory.memory_size, memory.input_size
    layer = LMN(a, n * p, n * p, nonlinearity="identity", batch_first=True, limit_norms=False)
    weights = {
        "weight_xh_l0": memory.A.reshape(n * p, a),
        "bias_h_l0": -torch.einsum("npi,ni->np", memory.A, memory.mean).flatten(),
        "weight_mh_l0": torch.zeros(n * p, n * p),
        "weight_hm_l0": torch.eye(n * p),
        "bias_m_l0": torch.zeros(n * p),
        "weight_mm_l0": torch.block_diag(*memory.B),
    }
    layer.load_state_dict(weights)
    return layer.eval()


def export_graph(graph: Graph, path: Path, series: Sequence[Tensor]) -> Agreement:
    """Write a graph and compare it with PyTorch on sequences (T_i, a) by ONNX Runtime.

    Raises
    ------
    ImportError
        onnx, onnxscript or onnxruntime is not installed.
    RuntimeError
        The outputs of ONNX Runtime differ from PyTorch's beyond rounding.
    """
    runtime = _packages()
    graph = graph.eval()
    state = graph.start(2)
    a = series[0].shape[1]
    x = torch.zeros(2, a) if graph.one_step else torch.zeros(2, 5, a)
    names = [f"state_{i}" for i in range(len(state))]
    outputs = ["outputs", *(f"next_{name}" for name in names)]
    with replacing(path) as partial, torch.no_grad(), _quiet():
        if isinstance(graph.layer, LMN):
            batch = torch.export.Dim("batch", min=1)
            dynamic = {0: batch} if graph.one_step else {0: batch, 1: torch.export.Dim("steps", min=1)}
            program = torch.onnx.export(
                graph,
                (x, *state),
                dynamo=True,
                dynamic_shapes={"x": dynamic, "state": tuple({1: batch} for _ in state)},
                input_names=["x", *names],
                output_names=outputs,
                verbose=False,
            )
            assert program is not None
            program.save(partial)
        else:  # torch's own layers become ONNX's LSTM, GRU and RNN only by this exporter
            axes = {name: {1: "batch"} for name in (*names, *outputs[1:])}
            steps = {0: "batch"} if graph.one_step else {0: "batch", 1: "steps"}
            torch.onnx.export(
                graph,
                (x, *state),
                partial,
                dynamo=False,
                opset_version=OPSET,
                dynamic_axes=axes | {"x": steps, "outputs": steps},
                input_names=["x", *names],
                output_names=outputs,
            )
        one = agreement(_outputs(graph, partial, series, runtime))
        if not one.within(TOLERANCE):
            raise RuntimeError(
                f"ONNX Runtime must agree with PyTorch, got a difference of {one.difference:.2g}. Report this."
            )
    return one


def _outputs(
    graph: Graph, path: Path, series: Sequence[Tensor], runtime: Any
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Outputs and states of PyTorch, and those of ONNX Runtime."""
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for one in series:
        inputs = one if graph.one_step else one[None]  # the steps of a sequence as a batch, or one sequence
        state = graph.start(len(inputs))
        expected = graph(inputs, *state)
        given = dict(zip([node.name for node in session.get_inputs()], (inputs, *state), strict=True))
        found = session.run(None, {name: value.numpy() for name, value in given.items()})
        yield from zip((value.numpy() for value in expected), found, strict=True)


def _packages() -> Any:
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{error.name} must be installed for ONNX, got none. Run pip install onnx onnxscript onnxruntime."
        ) from None
    return onnxruntime


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporters' own progress messages and deprecation warnings."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
