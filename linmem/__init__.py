"""Linear Memory Networks and the linear autoencoder for sequences, for PyTorch.

Folders, each importing only from those above it (`storage` and the files beside them come before all):

    autoencoder   the linear autoencoder in closed form
    nn            the LMN layer and all other networks, as torch modules
    estimators    classification, regression, forecasts and anomaly scores with scikit-learn's interface
    data          data sets and the user's files
    export        ONNX graphs and C programs
    reporting     tables and figures
    training      tasks, metrics and the training loop
    runs          one training run in a folder; sweeps of many
    analysis      memory capacity, gradient norms, speed
    music         continuation and harmonization of pieces
    experiments   the papers' tables and figures
    cli           the command `linmem`, one file per command
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from linmem import public_paths

if TYPE_CHECKING:
    from linmem import data
    from linmem.autoencoder.estimator import LinearAutoencoder
    from linmem.estimators.anomaly import MemoryAnomalyDetector
    from linmem.estimators.classifier import MemoryClassifier
    from linmem.estimators.features import MemoryFeatures
    from linmem.estimators.forecaster import MemoryForecaster
    from linmem.estimators.regressor import MemoryRegressor
    from linmem.nn import baselines, equivalence, initialize, multiscale
    from linmem.nn.lmn import LMN
    from linmem.nn.lmn_cell import LMNCell
    from linmem.nn.sequence_model import parameter_groups
    from linmem.nn.unfolded import ExplicitMemoryNetwork, UnfoldedNetwork
    from linmem.runs.load import load
    from linmem.training.loop import train
    from linmem.training.pretraining import pretrain

__version__ = "0.1.0"

public_paths.install()

# Imported when first used: `import linmem` then costs little beyond `import torch`.
_HOME = {
    "LMN": "linmem.nn.lmn",
    "ExplicitMemoryNetwork": "linmem.nn.unfolded",
    "LMNCell": "linmem.nn.lmn_cell",
    "LinearAutoencoder": "linmem.autoencoder.estimator",
    "MemoryAnomalyDetector": "linmem.estimators.anomaly",
    "MemoryClassifier": "linmem.estimators.classifier",
    "MemoryFeatures": "linmem.estimators.features",
    "MemoryForecaster": "linmem.estimators.forecaster",
    "MemoryRegressor": "linmem.estimators.regressor",
    "UnfoldedNetwork": "linmem.nn.unfolded",
    "load": "linmem.runs.load",
    "parameter_groups": "linmem.nn.sequence_model",
    "pretrain": "linmem.training.pretraining",
    "train": "linmem.training.loop",
}

__all__ = [
    "LMN",
    "ExplicitMemoryNetwork",
    "LMNCell",
    "LinearAutoencoder",
    "MemoryAnomalyDetector",
    "MemoryClassifier",
    "MemoryFeatures",
    "MemoryForecaster",
    "MemoryRegressor",
    "UnfoldedNetwork",
    "baselines",
    "data",
    "equivalence",
    "initialize",
    "load",
    "multiscale",
    "parameter_groups",
    "pretrain",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    elif name == "data" or f"linmem.{name}" in public_paths.PUBLIC_PATHS:
        value = import_module(f"linmem.{name}")
    else:
        raise AttributeError(f"module 'linmem' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
