"""Table of what each model can do, found by trying it: every cell is the result of a call, none is written by hand.

`python docs/capabilities.py` prints the table; the Sphinx build writes it to docs/capabilities_table.md.
"""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

import linmem
from linmem.nn.registry import MODELS, ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel
from linmem.runs.options import PRETRAINABLE

FEATURES, UNITS, STEPS = 3, 8, 12


def layer_of(model: nn.Module) -> nn.Module:
    """The recurrent layer of a model with a readout, or the model itself."""
    return getattr(model, "recurrent", model)


def states_continue(model: nn.Module) -> bool:
    """Whether chunks with the state carried on give the outputs of the whole sequence."""
    x = torch.randn(2, STEPS, FEATURES)
    whole, _ = model(x)
    first, state = model(x[:, :5])
    second, _ = model(x[:, 5:], state)
    return isinstance(whole, Tensor) and torch.allclose(whole, torch.cat([first, second], 1), atol=1e-4)


def reads_packed(model: nn.Module) -> bool:
    """Whether the layer reads a PackedSequence and each sequence has the outputs that it has alone."""
    sequences = [torch.randn(length, FEATURES) for length in (STEPS, 7, 3)]
    layer = layer_of(model)
    outputs, lengths = pad_packed_sequence(layer(pack_sequence(sequences))[0], batch_first=True)
    alone = [layer(x[None])[0][0] for x in sequences]
    return all(torch.allclose(outputs[i, :n], alone[i], atol=1e-4) for i, n in enumerate(lengths))


def is_bidirectional(model: nn.Module) -> bool:
    """Whether the layer's class has a second direction: the outputs are twice as wide."""
    layer = layer_of(model)
    sizes = (FEATURES, UNITS, UNITS) if isinstance(layer, linmem.LMN) else (FEATURES, UNITS)
    memory = {"memory": layer.memory} if isinstance(layer, linmem.LMN) else {}
    return type(layer)(*sizes, bidirectional=True, **memory)(torch.randn(STEPS, 2, FEATURES))[0].shape[-1] == 2 * UNITS


def exports(model: nn.Module) -> bool:
    """Whether torch.export gives a program that runs at another batch size and another number of steps."""
    steps, batch = torch.export.Dim("steps", min=2), torch.export.Dim("batch", min=1)
    x = torch.randn(2, STEPS, FEATURES)
    program = torch.export.export(model, (x,), dynamic_shapes={"x": {0: batch, 1: steps}}).module()
    x = torch.randn(3, 2 * STEPS, FEATURES)
    return torch.allclose(program(x)[0], model(x)[0], atol=1e-4)


def has_gradients(model: nn.Module) -> bool:
    """Whether a loss at the last step reaches a weight of the recurrent layer."""
    layer = layer_of(model)
    with torch.enable_grad():
        model(torch.randn(2, STEPS, FEATURES))[0][:, -1].sum().backward()
    return any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in layer.parameters())


def is_independent_of_device(model: nn.Module) -> bool:
    """Whether forward and backward pass run on torch's meta device: no operator is only for the CPU."""
    elsewhere = copy.deepcopy(model).to("meta")
    with torch.enable_grad():
        output = elsewhere(torch.randn(2, STEPS, FEATURES, device="meta"))[0]
        output.sum().backward()
    return output.is_meta


def gpu_code(model: nn.Module) -> str:
    """What computes the time loop on a GPU: torch's operators; kernels exist for the dense memory of an LMN."""
    if not attempt(is_independent_of_device, model):
        return "–"
    layer = layer_of(model)
    kernels = isinstance(layer, linmem.LMN) and layer.memory == "dense"
    return "torch, Triton" if kernels else "torch"


CHECKS: dict[str, Callable[[nn.Module], bool]] = {
    "streaming": states_continue,
    "packed input": reads_packed,
    "bidirectional": is_bidirectional,
    "export, dynamic steps": exports,
    "trained through time": has_gradients,
}


def attempt(check: Callable[[nn.Module], bool], model: nn.Module) -> bool:
    """The result of a check; an exception of the model means that it cannot do this."""
    try:
        with torch.no_grad(), warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            logging.disable(logging.CRITICAL)  # a failed export logs its graph
            return check(model)
    except Exception:
        return False
    finally:
        logging.disable(logging.NOTSET)


def accepts(**options: object) -> bool:
    """Whether `ModelOptions` accepts the options and the model is built."""
    try:
        build_model(ModelOptions(**({"hidden_size": UNITS, "memory_size": UNITS, "scales": 2} | options)), FEATURES, 2)
    except (ValueError, TypeError):
        return False
    return True


def word(cell: bool) -> str:
    """A cell of the tables."""
    return "yes" if cell else "–"


def model_rows() -> list[list[str]]:
    """One row per model of the registry."""
    rows = []
    for name in MODELS:
        model = build_model(ModelOptions(name, UNITS, UNITS, scales=2, window=8.0), FEATURES, 2).eval()
        cells = [attempt(check, model) for check in CHECKS.values()]
        cells += [accepts(model=name, readout="nade"), accepts(model=name, skip_connection=True)]
        schemes = [scheme for scheme, models in PRETRAINABLE.items() if name in models]
        rows.append([f"`{name}`", *map(word, cells), gpu_code(model), ", ".join(schemes) or "–"])
        if name == "lmn-b":
            layer = linmem.LMN(FEATURES, UNITS, UNITS, memory="diagonal", batch_first=True)
            model = SequenceModel(layer, nn.Linear(UNITS, 2)).eval()
            cells = [*(attempt(check, model) for check in CHECKS.values()), True, True]
            rows.append(['`LMN(memory="diagonal")`', *map(word, cells), gpu_code(model), "–"])
    return rows


def estimator_rows() -> list[list[str]]:
    """One row per scikit-learn estimator: the public methods that it has."""
    names = ("LinearAutoencoder", *(name for name in linmem.__all__ if name.startswith("Memory")))
    methods = ("transform", "predict", "predict_interval", "score_samples", "decision_function", "partial_fit")
    streams = ("update", "step")
    rows = []
    for name in names:
        kind = getattr(linmem, name)
        cells = [hasattr(kind, method) for method in methods]
        cells += [any(hasattr(kind, method) for method in streams), hasattr(kind, "save")]
        rows.append([f"`{name}`", *map(word, cells)])
    return rows


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def text() -> str:
    """Both tables."""
    torch.manual_seed(0)
    models = table(
        ["`--model`", *CHECKS, "NADE readout", "skip connection", "GPU", "`--pretrain`"],
        model_rows(),
    )
    columns = ["transform", "predict", "predict_interval", "score_samples", "decision_function", "partial_fit"]
    estimators = table(
        ["estimator", *(f"`{name}`" for name in columns), "one step at a time", "save"], estimator_rows()
    )
    return f"## Models\n\n{models}\n\n## Estimators\n\n{estimators}\n"


def write(path: Path) -> None:
    """Write the tables if they differ from those in the file."""
    content = text()
    if not path.exists() or path.read_text() != content:
        path.write_text(content)


if __name__ == "__main__":
    print(text())
