"""The list of experiments and the interface of an experiment module.

An experiment is a module of `linmem.experiments` that reproduces one published table or figure. It has

    TITLE     one line
    GRIDS     frozen dataclass configurations by name: "smoke" takes seconds, "small" one night on two cores, "paper" is
              the published protocol, or the closest one that the module describes
    run       yields one dictionary of measurements per record; intermediate work goes to the folder `work`
    show      returns Markdown tables and writes figures to `folder`, from such dictionaries alone
    targets   states what the experiment tests, and evaluates it on such dictionaries
    plan      only where searches are long: the training runs of a configuration, by data set and model

To add one, write the module and add its name here.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, cast

from linmem.experiments.harness.summarize import Result, Results
from linmem.experiments.harness.targets import Target

EXPERIMENTS = (
    "table1",
    "table2_paper",
    "table2_fair",
    "figure3",
    "parameters",
    "capacity",
    "figure4",
    "gradients",
    "time",
    "encoding",
    "reconstruction",
    "multiscale",
    "smnist",
    "psmnist",
)


class Experiment(Protocol):
    """The names that a module needs to be listed in `EXPERIMENTS`; the type of its configurations is its own."""

    TITLE: str
    GRIDS: Mapping[str, Any]
    run: Callable[[Any, int, Path], Iterator[Result]]
    show: Callable[[Results, Path], str]
    targets: Callable[[Results], list[Target]]


def load_experiment(name: str) -> Experiment:
    """Import the module of an experiment.

    Raises
    ------
    ValueError
        The name is unknown.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"name must be one of {', '.join(EXPERIMENTS)}, got {name!r}. Choose one of these.")
    return cast(Experiment, importlib.import_module(f"linmem.experiments.{name}"))


def default_grid(experiment: Experiment) -> str:
    """Return the grid that runs if none is named."""
    return "small" if "small" in experiment.GRIDS else "paper"


def config_record(config: Any) -> dict[str, Any]:
    """Return a configuration as a record stores it: plain JSON types."""
    return cast(dict[str, Any], json.loads(json.dumps(asdict(config))))
