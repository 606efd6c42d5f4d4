"""Saves fitted estimators without pickle: arrays as tensors, everything else as JSON, in one checked file.

A value is written as JSON with the arrays taken out; dataclasses are written by class name and fields, and only the
classes that `linmem.estimators` defines are read back.
"""

from __future__ import annotations

import warnings
from dataclasses import fields, is_dataclass
from importlib import import_module
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor

from linmem.estimators.series import LayoutWarning
from linmem.storage import tensor_file
from linmem.storage.parsing import parsing

PACKAGE = "linmem.estimators."
RANDOM = (np.random.RandomState, np.random.Generator, np.random.SeedSequence, np.random.BitGenerator)


class Saved:
    """Gives an estimator `save` and `load`: its parameters and its fitted attributes, those that end in "_"."""

    def save(self, path: str | PathLike[str]) -> None:
        """Write parameters and fitted attributes to one file.

        A `MemoryForecaster` continues after the last step of `update` when it is loaded; streams of the other
        estimators start again.
        """
        tensors: dict[str, Tensor] = {}
        description = pack(self, tensors)
        tensor_file.write(path, tensors, description)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Any:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            The file is damaged or holds an estimator of another class.
        """
        return _load(path, cls.__name__)


def load_any(path: str | PathLike[str]) -> Any:
    """Read an estimator of any class that `save` wrote.

    Raises
    ------
    ValueError
        The file is damaged or holds something else.
    """
    return _load(path, None)


def _load(path: str | PathLike[str], expected: str | None) -> Any:
    """Read an estimator of the class named `expected`, or of any class, and apply it once."""
    tensors, description = tensor_file.read(path)
    kind = str(description.get("object", "another kind of file")).rpartition(".")[2]
    if kind != expected and (expected is not None or "object" not in description):
        raise ValueError(
            f"{path} must hold {f'a {expected}' if expected else 'an estimator'}, got {kind}. Give another file."
        )
    with (
        parsing(path, f"a complete {expected or 'estimator'}", "Fit and save the estimator again."),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", LayoutWarning)  # of `_apply`, whose series are short
        restored = unpack(description, tensors)
        if not isinstance(restored, Saved):
            raise TypeError(f"a {type(restored).__name__}")
        _apply(restored)
        return restored


def _apply(estimator: Any) -> None:
    """Apply a restored estimator, so that missing attributes and arrays that do not fit are noticed when it is read."""
    for kind in type(estimator).__mro__:
        for name in vars(kind).get("__annotations__", {}):
            if name.endswith("_") and not hasattr(estimator, name):
                raise ValueError(f"no {name}")
    if hasattr(estimator, "predict_interval"):
        last = estimator.series_[-1]
        estimator.predict(1)
        estimator.predict_interval(1, series=last.T if estimator.layout == "ct" else last)
        return
    still = np.zeros((8, estimator.n_features_in_)) + getattr(estimator, "mean_", 0.0)
    case = still.T if getattr(estimator, "layout", "tc") == "ct" else still
    if hasattr(estimator, "score_samples"):
        estimator.score_samples(case)
    else:
        (estimator.predict if hasattr(estimator, "predict") else estimator.transform)([case])


def pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON for `value`; its numeric arrays are put into `tensors`."""
    if isinstance(value, np.ndarray) and value.dtype.kind not in "OUS":
        name = str(len(tensors))
        tensors[name] = _as_tensor(value)
        return {"array": name}
    if isinstance(value, np.ndarray):
        return {"texts": value.tolist(), "dtype": value.dtype.str}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {"dict": [[key, pack(one, tensors)] for key, one in value.items()]}
    if isinstance(value, tuple | list):
        return {type(value).__name__: [pack(one, tensors) for one in value]}
    if isinstance(value, Saved):
        fitted = {name: one for name, one in vars(value).items() if name.endswith("_")}
        parameters = value.get_params(deep=False)  # type: ignore[attr-defined]
        return {"object": _path(value), "state": pack(parameters, tensors), "fitted": pack(fitted, tensors)}
    if is_dataclass(value):
        state = {field.name: getattr(value, field.name) for field in fields(value)}
        return {"object": _path(value), "state": pack(state, tensors)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    remedy = "Set random_state to an integer." if isinstance(value, RANDOM) else "Pass a list of numbers or texts."
    raise ValueError(f"saved values must be numbers, texts, lists or arrays, got a {type(value).__name__}. {remedy}")


def _as_tensor(array: np.ndarray) -> Tensor:
    """A copy of an array as a tensor; torch has no other byte order than the machine's, and no dates."""
    try:
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
    except TypeError:
        raise ValueError(
            f"saved arrays must hold numbers or texts, got {array.dtype}. Convert them before fit."
        ) from None


def unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The value that `pack` wrote."""
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return tensors[value["array"]].numpy()
    if "texts" in value:
        return np.array(value["texts"], dtype=value["dtype"])
    if "dict" in value:
        return {key: unpack(one, tensors) for key, one in value["dict"]}
    if "object" in value:
        result = _class(value["object"])(**unpack(value["state"], tensors))
        if hasattr(result, "reset"):
            result.reset()
        for name, one in unpack(value["fitted"], tensors).items() if "fitted" in value else ():
            setattr(result, name, one)
        return result
    ((kind, content),) = value.items()
    return {"tuple": tuple, "list": list}[kind](unpack(one, tensors) for one in content)


def _path(value: Any) -> str:
    kind = type(value)
    if not kind.__module__.startswith(PACKAGE):
        raise ValueError(
            f"saved objects must be of classes of {PACKAGE[:-1]}, got {kind.__module__}.{kind.__qualname__}. Save an "
            "object of the class that it extends."
        )
    return f"{kind.__module__.removeprefix(PACKAGE)}.{kind.__name__}"


def _class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    if not module.isidentifier() or not name.isidentifier():
        raise ValueError(f"saved classes must belong to {PACKAGE[:-1]}, got {path!r}.")
    found = getattr(import_module(PACKAGE + module), name, None)
    if not isinstance(found, type) or found.__module__ != PACKAGE + module or not _is_saved(found):
        raise ValueError(f"saved classes must be dataclasses or estimators of {PACKAGE[:-1]}, got {path!r}.")
    return found


def _is_saved(kind: type) -> bool:
    return is_dataclass(kind) or issubclass(kind, Saved)
