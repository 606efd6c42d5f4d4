"""Linear Memory Networks and the linear autoencoder for sequences, for PyTorch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linmem import data
    from linmem.autoencoder.estimator import LinearAutoencoder
    from linmem.nn import baselines, equivalence, initialize, multiscale
    from linmem.nn.lmn import LMN
    from linmem.nn.lmn_cell import LMNCell
    from linmem.nn.unfolded import ExplicitMemoryNetwork, UnfoldedNetwork
    from linmem.training.loop import train
    from linmem.training.pretraining import pretrain

__version__ = "0.1.0"

# Imported when first used: `import linmem` then costs little beyond `import torch`.
_HOME = {
    "LMN": "linmem.nn.lmn",
    "ExplicitMemoryNetwork": "linmem.nn.unfolded",
    "LMNCell": "linmem.nn.lmn_cell",
    "LinearAutoencoder": "linmem.autoencoder.estimator",
    "UnfoldedNetwork": "linmem.nn.unfolded",
    "baselines": "linmem.nn.baselines",
    "data": "linmem.data",
    "equivalence": "linmem.nn.equivalence",
    "initialize": "linmem.nn.initialize",
    "multiscale": "linmem.nn.multiscale",
    "pretrain": "linmem.training.pretraining",
    "train": "linmem.training.loop",
}

__all__ = [
    "LMN",
    "ExplicitMemoryNetwork",
    "LMNCell",
    "LinearAutoencoder",
    "UnfoldedNetwork",
    "baselines",
    "data",
    "equivalence",
    "initialize",
    "multiscale",
    "pretrain",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'linmem' has no attribute {name!r}")
    module = import_module(_HOME[name])
    value = module if _HOME[name].endswith(f".{name}") else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
