"""Export of a run, or of a saved estimator: ONNX graphs or a C program, compared with Python before they are kept.

Symbols: T steps, a features, o outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from linmem.data import Standardization
from linmem.estimators.anomaly import MemoryAnomalyDetector
from linmem.estimators.classifier import MemoryClassifier
from linmem.estimators.forecaster import MemoryForecaster
from linmem.estimators.regressor import MemoryRegressor
from linmem.estimators.saving import load_any
from linmem.estimators.step_size import step_size
from linmem.export.agreement import Agreement, agreement
from linmem.export.c_check import find_compiler, run_program
from linmem.export.c_estimators import estimator_program
from linmem.export.c_networks import network_program
from linmem.export.onnx_graph import Graph, export_graph
from linmem.reporting.output import output_paths
from linmem.runs.directory import load_run, read_options
from linmem.runs.fitted_estimator import load_estimator
from linmem.runs.options import ESTIMATOR
from linmem.runs.predict import read_described_config, task_name
from linmem.storage.atomic import write_text

FORMATS = ("onnx", "c")
CHECKED_SERIES, CHECKED_STEPS = 3, 200  # what an export is compared on
C_TOLERANCE = 1e-3  # relative: a stream in float32 against Python's in float64
MOST_ROUNDING = 0.1  # of a forecaster's outputs, relative to the root mean square change of its series


class Exportable(NamedTuple):
    """What is exported, and what its outputs need."""

    model: Any
    is_estimator: bool
    standardization: Standardization | None
    feeds_back: bool  # the outputs are the next inputs
    classes: list[str]
    series: list[Tensor]  # (T, a) in the units of the data, to compare on


def export(
    run: Path, form: str, folder: Path, *, name: str = "model", best_by: str = "loss", force: bool = False
) -> list[str]:
    """Write ONNX graphs or a C program to a folder; returns a line on each file.

    Raises
    ------
    ValueError
        The format is unknown, or the model cannot be exported to it.
    RuntimeError
        The written program differs from Python beyond rounding.
    """
    if form not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {form!r}.")
    found = read_model(run, best_by)
    return (_write_onnx if form == "onnx" else _write_c)(found, folder, name, force)


def read_model(run: Path, best_by: str) -> Exportable:
    """Load the network or estimator of a run folder or file, with series to compare on."""
    if run.is_file():
        estimator = load_any(run)
        return Exportable(estimator, True, None, False, _classes(estimator), [_random_series(estimator)])
    options, config = read_options(run), read_described_config(run)
    estimator = load_estimator(run) if options.model.model == ESTIMATOR else None
    scale = Standardization.of(config["description"])
    try:
        series = [x[:CHECKED_STEPS] for x in options.load_data().test[:CHECKED_SERIES]]
    except (OSError, ValueError):  # the data are not on this machine
        series = [_random_series(estimator) if estimator is not None else _noise(config["input_size"])]
    if estimator is not None:
        return Exportable(estimator, True, None, False, _classes(estimator), series)
    if scale:
        series = [scale.invert(x) for x in series]
    model = load_run(run, best_by)[1]
    names = list(config["description"].get("class_names") or [])
    return Exportable(model, False, scale, task_name(options, config) == "NextValue", names, series)


def _random_series(estimator: Any) -> Tensor:
    """A random series (T, a) in the units of the data; for a forecaster the last steps of a fitted series."""
    if isinstance(estimator, MemoryForecaster):
        return torch.from_numpy(estimator.series_[0][-CHECKED_STEPS:]).float()
    x = _noise(estimator.n_features_in_)
    if isinstance(estimator, MemoryAnomalyDetector):
        mean, scale = estimator.mean_, estimator.scale_
    elif isinstance(estimator, MemoryClassifier | MemoryRegressor):
        mean, scale = estimator.features_.views_.mean, estimator.features_.views_.scale
    else:
        return x
    return (x.double() * torch.from_numpy(scale) + torch.from_numpy(mean)).float()


def _noise(features: int) -> Tensor:
    """A series (T, a) of independent standard normal numbers."""
    return torch.randn(CHECKED_STEPS, features, generator=torch.Generator().manual_seed(0))


def _classes(estimator: Any) -> list[str]:
    return [str(one) for one in getattr(estimator, "classes_", [])]


def _write_onnx(found: Exportable, folder: Path, name: str, force: bool) -> list[str]:
    if found.is_estimator:
        raise ValueError(f"model must be a network for ONNX, got {type(found.model).__name__}. Use --format c.")
    scale = found.standardization
    graphs = [Graph(found.model, scale, invert=found.feeds_back, one_step=one_step) for one_step in (False, True)]
    paths = output_paths(folder, (f"{name}.onnx", f"{name}_step.onnx"), force)
    lines = []
    for graph, path, inputs in zip(graphs, paths, ("x (B, T, a)", "x (B, a)"), strict=True):
        one = export_graph(graph, path, found.series)
        lines.append(
            f"{path}: {path.stat().st_size} bytes, {inputs} and state; ONNX Runtime and PyTorch differ by at most "
            f"{one.difference:.1e} in outputs up to {one.output:.3g}"
        )
    return lines


def _write_c(found: Exportable, folder: Path, name: str, force: bool) -> list[str]:
    if isinstance(found.model, MemoryForecaster):
        _check_level(found.model)
    if found.is_estimator:
        program = estimator_program(found.model)
    else:
        program = network_program(found.model, found.standardization, feeds_back=found.feeds_back)
    notes = [f"{type(found.model).__name__}, written by linmem export. C99, no dependency besides math.h."]
    if found.classes:
        notes.append(f"Outputs, the largest is the predicted class: {', '.join(found.classes)}.")
    elif isinstance(found.model, MemoryAnomalyDetector):
        notes.append(f"Output: the anomaly score; above {found.model.threshold_:.6g} is an anomaly.")
    else:
        notes.append("Outputs: logits of notes or classes, or numbers in the units of the data.")
    source = program.write(name, notes)
    code, header = output_paths(folder, (f"{name}.c", f"{name}.h"), force)
    sizes = f"{source.flash_bytes} bytes of constants, {source.ram_bytes} bytes of RAM"
    if find_compiler() is None:
        check = "not compared with Python: there is no C compiler"
    else:
        check = _compare(source.code, name, found, program.outputs)
    write_text(code, source.code)
    write_text(header, source.header)
    return [f"{code}: {sizes}; {check}", f"{header}: its functions"]


def _compare(code: str, name: str, found: Exportable, outputs: int) -> str:
    pairs = [
        (python_outputs(found, series), run_program(code, name, series.numpy(), outputs)) for series in found.series
    ]
    one = agreement(pairs)
    parts, floor = [one], 1.0
    if isinstance(found.model, MemoryForecaster | MemoryRegressor):  # each output has a scale of its own
        parts, floor = [agreement((x[:, [o]], y[:, [o]]) for x, y in pairs) for o in range(outputs)], 0.0
        _check_range(parts)
    for part in parts:
        if not part.within(C_TOLERANCE, floor):
            raise RuntimeError(
                f"the C program must agree with Python, got a difference of {part.difference:.2g} in outputs up to "
                f"{part.output:.3g}. Report this."
            )
    if isinstance(found.model, MemoryForecaster):
        _check_resolution(found.model, np.array([part.difference for part in parts]))
    return f"compiled; differs from Python by at most {one.difference:.1e} in outputs up to {one.output:.3g}"


def _check_range(outputs: Sequence[Agreement]) -> None:
    """Refuse outputs that float does not hold."""
    least, most = np.finfo(np.float32).tiny, np.finfo(np.float32).max
    for one in outputs:
        if one.output and not least <= one.output <= most:
            raise ValueError(
                f"outputs must be between {least:.2g} and {most:.2g} in size for float, got {one.output:.2g}. Multiply "
                "the data by a constant and fit again."
            )


def _check_level(forecaster: MemoryForecaster) -> None:
    """Refuse a series that float does not hold, or whose level leaves it too few digits for its steps."""
    level = np.abs(forecaster.series_[0]).max(0)
    _check_range([Agreement(0.0, float(one)) for one in level])
    _check_resolution(forecaster, np.spacing(level.astype(np.float32)))


def _check_resolution(forecaster: MemoryForecaster, rounding: np.ndarray) -> None:
    """Refuse a program whose rounding (a,) is large against the steps of the series: 1e6 ± 1 has 4 digits in float."""
    size = np.nan_to_num(step_size(forecaster.series_[0]), nan=np.inf)
    worst = int(np.argmax(rounding / size))
    if rounding[worst] > MOST_ROUNDING * size[worst]:
        raise ValueError(
            f"channel {worst} must change by more than float's rounding from step to step, got changes of "
            f"{size[worst]:.2g} and rounding of {rounding[worst]:.2g}. Subtract a constant from it and fit again."
        )


@torch.no_grad()
def python_outputs(found: Exportable, series: Tensor) -> np.ndarray:
    """Outputs (T, o) of the model in Python, one step after another."""
    if found.is_estimator:
        found.model.reset()
        steps = [np.atleast_1d(found.model.update(x)) for x in series.double().numpy()]
        found.model.reset()
        return np.stack(steps)
    scale = found.standardization
    outputs = found.model((scale.apply(series) if scale else series)[None])[0][0]
    array: np.ndarray = (scale.invert(outputs) if scale and found.feeds_back else outputs).numpy()
    return array
