"""Search space: the runs of a sweep, given as option names and lists of values.

    {"model": ["lstm"], "hidden_size": [50, 100], "weight_decay": [0, 1e-5]}         2 × 2 runs
    {"model": ["lmn-b"], "hidden_size, memory_size": [[50, 50], [50, 100]]}          2 runs: values that vary together
    [{…}, {…}]                                                                       the runs of both

The names are the options of `linmem train`; other options keep their defaults. `GRIDS` are spaces of the same form.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from linmem.data import is_set
from linmem.nn.registry import MODELS
from linmem.runs.options import FIELDS, RunOptions, with_options
from linmem.storage.documents import read_yaml
from linmem.storage.messages import shortened

Space = Mapping[str, Any]  # "name" or "name, name" → values, or one value
Axis = list[tuple[tuple[str, Any], ...]]  # every value as pairs (option, value)
LARGEST = 100_000  # runs of a full grid


def table2_rows(units: Sequence[int], pairs: Sequence[Sequence[int]], **common: Any) -> dict[str, Space]:
    """Rows of L18's table 2 and the GRU; the RBM of an RNN-RBM has as many units as its RNN."""
    return {
        "RNN": {"model": "rnn", "hidden_size": units, **common},
        "pret-RNN": {"model": "rnn", "pretrain": "inputs", "hidden_size": units, **common},
        "LSTM": {"model": "lstm", "hidden_size": units, **common},
        "GRU": {"model": "gru", "hidden_size": units, **common},
        "RNN-RBM": {"model": "rnn-rbm", "hidden_size, memory_size": [(h, h) for h in units], **common},
        "LMN-A": {"model": "lmn-a", "hidden_size, memory_size": pairs, **common},
        "LMN-B": {"model": "lmn-b", "hidden_size, memory_size": pairs, **common},
        "pret-LMN-B": {"model": "lmn-b", "pretrain": "unfolded", "hidden_size, memory_size": pairs, **common},
    }


def _grid_of_table2(units: Sequence[int], pairs: Sequence[Sequence[int]], **common: Any) -> list[Space]:
    return list(table2_rows(units, pairs, **common).values())


PAPER_SIZES = ((50, 50), (50, 100), (100, 100), (100, 250), (250, 250), (250, 500))  # (f, p) [L18 §5]
GRIDS: dict[str, list[Space]] = {
    "smoke": _grid_of_table2((4,), ((4, 6),), max_epochs=1, pretrain_epochs=1, lags=2),
    "small": _grid_of_table2(
        (100, 250), ((50, 100), (100, 250)), weight_decay=(0.0, 1e-5), max_epochs=100, patience=10
    ),
    "paper": _grid_of_table2(
        (50, 100, 250, 500, 750), PAPER_SIZES, weight_decay=(0.0, 1e-7, 1e-6, 1e-5, 1e-4), max_epochs=1000
    ),
}


def plan(data: str, spaces: Space | Sequence[Space], *, trials: int | None = None, seed: int = 0) -> list[RunOptions]:
    """Runs of a space: all of them, or a random sample of `trials`; the same for the same seed, each run once.

    Raises
    ------
    ValueError
        A name is no option, a value has the wrong type, a space is empty, or a full grid has more than 100,000 runs.
    """
    listed = [spaces] if isinstance(spaces, Mapping) else list(spaces)
    if not listed or not all(isinstance(space, Mapping) and space for space in listed):
        raise ValueError("a search space must map option names to lists of values, got an empty one or another type.")
    axes = [[_axis(names, values) for names, values in space.items()] for space in listed]
    if (count := sum(math.prod(map(len, one)) for one in axes)) > LARGEST:  # before any run is built
        raise ValueError(
            f"a search space must have at most {LARGEST} runs, got {shortened(count, 20)}. Shorten its lists."
        )
    runs = list(dict.fromkeys(run for one in axes for run in _grid(data, one)))
    if trials is None:
        return runs
    if trials < 1:
        raise ValueError(f"trials must be at least 1, got {trials}.")
    return random.Random(seed).sample(runs, min(trials, len(runs)))


def read(path: Path) -> Space | list[Space]:
    """Read a space from a YAML or JSON file.

    Raises
    ------
    ValueError
        The file is neither, or holds no search space.
    """
    content: Space | list[Space] = read_yaml(path, "Correct the file.")
    if not isinstance(content, list | dict):
        raise ValueError(f"{path} must map option names to lists of values, got {type(content).__name__}.")
    return content


def _grid(data: str, axes: Sequence[Axis]) -> list[RunOptions]:
    default = with_options(RunOptions(data), {} if is_set(data) else {"standardize": True})  # as in `linmem train`
    return [with_options(default, dict(pair for point in points for pair in point)) for points in product(*axes)]


def _axis(names: str, values: Any) -> Axis:
    """Every value of an axis as pairs (option, value)."""
    joint = [name.strip() for name in str(names).split(",")]
    for name in joint:
        if name not in FIELDS:
            raise ValueError(
                f"a search space must name options of `linmem train`, got {shortened(repr(name))}. Correct it."
            )
    listed = list(values) if isinstance(values, list | tuple) else [values]
    if not listed:
        raise ValueError(f"{names} must have at least one value, got none.")
    points = [[value] for value in listed] if len(joint) == 1 else listed
    for point in points:
        if not isinstance(point, list | tuple) or len(point) != len(joint):
            raise ValueError(f"{names} must have lists of {len(joint)} values, got {shortened(repr(point))}.")
    return [tuple((name, _checked(name, v)) for name, v in zip(joint, point, strict=True)) for point in points]


def _checked(name: str, value: Any) -> Any:
    """Return the value in the type of the option; YAML reads 1e-3 as a string."""
    kind = type(FIELDS[name].default)
    if kind is tuple and isinstance(value, list | float | int):
        return tuple(value) if isinstance(value, list) else (float(value),)
    known = MODELS if name == "model" else None
    if known and (not isinstance(value, str) or value not in known):
        raise ValueError(f"model must be one of {', '.join(known)}, got {shortened(repr(value), 30)}.")
    try:
        if kind is float and not isinstance(value, bool):
            return float(value)
    except (TypeError, ValueError):
        pass
    if FIELDS[name].default is None and type(value) is int:
        return value
    if type(value) is not kind:
        raise ValueError(f"{name} must be of type {kind.__name__}, got {shortened(repr(value), 40)}.")
    return value
