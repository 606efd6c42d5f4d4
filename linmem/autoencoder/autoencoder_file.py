"""The file of a fitted autoencoder: what encoding and decoding need, as safetensors and JSON.

The right singular vectors U (L, a, p) are by far the largest array and needed only to transfer weights from an unfolded
network, so they are written on request.
"""

import math
from dataclasses import asdict
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from linmem.autoencoder.history.sources import InputType
from linmem.autoencoder.solution import ClosedForm
from linmem.autoencoder.solvers import Randomized
from linmem.storage import tensor_file
from linmem.storage.parsing import parsing
from linmem.validation import shown

FILE = "autoencoder.safetensors"  # in the folder of `linmem fit`
_DTYPES = {"float32": torch.float32, "float64": torch.float64}
KIND, VERSION = "LinearAutoencoder", 2


class Stored(NamedTuple):
    """Contents of a file."""

    parameters: dict[str, Any]  # of the constructor
    solution: ClosedForm
    mean: Tensor
    solver: str
    input_type: InputType


def write(path: str | PathLike[str], stored: Stored) -> None:
    """Write a fit to `path`."""
    fields = vars(stored.solution)
    description = {
        "kind": KIND,
        "version": VERSION,
        "parameters": {name: _to_json(name, value) for name, value in stored.parameters.items()},
        "fit": {name: value for name, value in fields.items() if not isinstance(value, Tensor)},
        "solver": stored.solver,
        "input": {
            "torch": stored.input_type.as_torch,
            "dtype": str(stored.input_type.dtype).removeprefix("torch."),
        },
    }
    tensors = {name: value for name, value in fields.items() if isinstance(value, Tensor)}
    tensor_file.write(path, {**tensors, "mean": stored.mean}, description)


def read(path: str | PathLike[str]) -> Stored:
    """Read a fit from `path`, onto the CPU."""
    tensors, config = tensor_file.read(path)
    if config.get("kind") != KIND or config.get("version") != VERSION:
        raise ValueError(
            f"{path} must hold a {KIND} of version {VERSION}, got {config.get('kind')} {config.get('version')}. "
            "Fit and save the autoencoder again."
        )
    with parsing(path, "a complete fit", "Fit and save the autoencoder again."):
        parameters = {name: _from_json(value) for name, value in config["parameters"].items()}
        mean = tensors.pop("mean")
        given = config["input"]
        input_type = InputType(bool(given["torch"]), _DTYPES[given["dtype"]], torch.device("cpu"))
        fields: dict[str, Any] = {**config["fit"], **tensors}
        stored = Stored(parameters, ClosedForm(**fields), mean, str(config["solver"]), input_type)
        _check_shapes(stored)
        return stored


def _check_shapes(stored: Stored) -> None:
    """Raise ValueError unless all arrays are finite float64 and have the sizes of A (p, a), and numbers are numbers."""
    solution = stored.solution
    p, a = solution.A.shape
    shapes: dict[str, tuple[int, ...]] = {"A": (p, a), "B": (p, p), "C": (a + p, p), "singular_values": (p,)}
    if solution.right_vectors is not None:
        shapes["right_vectors"] = (solution.lags, a, p)
    if solution.lag_decoder is not None:
        shapes["lag_decoder"] = (len(solution.lag_decoder), a, p)
    arrays = {name: getattr(solution, name) for name in shapes} | {"mean": stored.mean}
    for name, shape in (shapes | {"mean": (a,)}).items():
        array = arrays[name]
        known = (torch.float32, torch.float64) if name == "right_vectors" else (torch.float64,)
        if array.shape != shape or array.dtype not in known or not array.isfinite().all():
            raise ValueError(f"{name} of shape {tuple(array.shape)} and {array.dtype}, or not finite")
    if min(p, a) < 1 or type(solution.lags) is not int or solution.lags < 1:
        raise ValueError(f"sizes {p} and {a}, lags {solution.lags!r}")
    for name in ("optimal_error", "training_error", "unweighted_optimal_error", "unweighted_error", "decay"):
        value = float(getattr(solution, name))
        unknown = name == "unweighted_optimal_error" and math.isnan(value)  # it is of some streams
        if not (unknown or 0 <= value < math.inf):
            raise ValueError(f"{name} {value!r}")


def _to_json(name: str, value: Any) -> Any:
    if name == "random_state" and not isinstance(value, int | np.integer):
        return None  # of a generator, too
    if isinstance(value, Randomized):
        return {"randomized": asdict(value)}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.integer | np.floating | np.bool_):
        return value.item()
    raise ValueError(
        f"parameters must be numbers, names or Randomized solvers to be saved, got {name}={shown(value)}. "
        f"Set another one first: set_params({name}=…)."
    )


def _from_json(value: Any) -> Any:
    return Randomized(**value["randomized"]) if isinstance(value, dict) else value
