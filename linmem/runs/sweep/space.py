"""Search space: which runs a sweep does, said as names and lists of values.

    {"model": ["lstm"], "hidden_size": [50, 100], "weight_decay": [0, 1e-5]}         2 × 2 runs
    {"model": ["lmn-b"], "hidden_size, memory_size": [[50, 50], [50, 100]]}          2 runs: what belongs together
    [{…}, {…}]                                                                       the runs of both

The names are the options of `linmem train`; what is not named keeps its default. `GRIDS` are spaces of the same form.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import Field, fields
from itertools import product
from pathlib import Path
from typing import Any

from linmem.nn.registry import MODELS, ModelOptions
from linmem.runs.directory import (
    PretrainingOptions,
    RunOptions,
)
from linmem.training.loop import TrainingOptions

Space = Mapping[str, Any]  # "name" or "name, name" → values, or one value

_GROUPS: dict[str, type] = {"model": ModelOptions, "training": TrainingOptions, "pretraining": PretrainingOptions}
_OPTIONS: dict[str, tuple[str, Field[Any]]] = {f.name: (group, f) for group, k in _GROUPS.items() for f in fields(k)}


def table2_rows(units: Sequence[int], pairs: Sequence[Sequence[int]], **common: Any) -> dict[str, Space]:
    """Rows of L18's table 2, with the GRU beside the LSTM; an RNN-RBM's RBM has as many units as its RNN."""
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
    """Runs of a space: all of them, or `trials` drawn without replacement; the same for the same seed, each run once.

    Raises
    ------
    ValueError
        A name is no option, a value is not of its kind, or a space is empty.
    """
    listed = [spaces] if isinstance(spaces, Mapping) else list(spaces)
    if not listed or not all(isinstance(space, Mapping) and space for space in listed):
        raise ValueError("a search space maps option names to lists of values; this one is empty or something else")
    runs = list(dict.fromkeys(run for space in listed for run in _grid(data, space)))
    if trials is None:
        return runs
    if trials < 1:
        raise ValueError(f"trials is {trials}: at least 1 was wanted")
    return random.Random(seed).sample(runs, min(trials, len(runs)))


def read(path: Path) -> Space | list[Space]:
    """Read a space from a YAML or JSON file.

    Raises
    ------
    ValueError
        The file is neither.
    """
    import yaml

    try:
        content: Space | list[Space] = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is neither YAML nor JSON: {' '.join(str(error).split())}") from None
    if not isinstance(content, list | dict):
        raise ValueError(f"{path} holds no search space: a mapping of option names to lists of values was wanted")
    return content


def _grid(data: str, space: Space) -> list[RunOptions]:
    axes = [_axis(names, values) for names, values in space.items()]
    return [_options(data, dict(pair for point in points for pair in point)) for points in product(*axes)]


def _axis(names: str, values: Any) -> list[tuple[tuple[str, Any], ...]]:
    """Every value of an axis as pairs (option, value)."""
    together = [name.strip() for name in str(names).split(",")]
    for name in together:
        if name not in _OPTIONS:
            raise ValueError(f"the search space names {name!r}: the options are {', '.join(_OPTIONS)}")
    listed = list(values) if isinstance(values, list | tuple) else [values]
    if not listed:
        raise ValueError(f"{names} has no values: at least one was wanted")
    points = [[value] for value in listed] if len(together) == 1 else listed
    for point in points:
        if not isinstance(point, list | tuple) or len(point) != len(together):
            raise ValueError(f"{names} has the value {point!r}: a list of {len(together)} was wanted")
    return [tuple((name, _checked(name, v)) for name, v in zip(together, point, strict=True)) for point in points]


def _checked(name: str, value: Any) -> Any:
    """Return the value as the option's kind; YAML takes 1e-3 for a word."""
    kind = type(_OPTIONS[name][1].default)
    known = MODELS if name == "model" else None
    if known and value not in known:
        raise ValueError(f"unknown model {value!r}: the known ones are {', '.join(known)}")
    try:
        if kind is float and not isinstance(value, bool):
            return float(value)
    except (TypeError, ValueError):
        pass
    if type(value) is not kind:
        raise ValueError(f"{name} has the value {value!r}: {kind.__name__} was wanted")
    return value


def _options(data: str, values: Mapping[str, Any]) -> RunOptions:
    groups: dict[str, dict[str, Any]] = {group: {} for group in _GROUPS}
    for name, value in values.items():
        groups[_OPTIONS[name][0]][name] = value
    return RunOptions(data, **{group: kind(**groups[group]) for group, kind in _GROUPS.items()})
