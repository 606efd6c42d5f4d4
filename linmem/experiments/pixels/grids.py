"""Grids of `smnist` and `psmnist`: what each size of run tries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from linmem.estimators.readouts import POWERS
from linmem.experiments.static_memories.last_state import DeepVariant
from linmem.training.options import TrainingOptions


@dataclass(frozen=True)
class ReadoutSearch:
    """A classifier without backpropagation: its grid, and limits of training images and seeds (None: all)."""

    name: str
    grid: Mapping[str, tuple[Any, ...]]
    images: int | None = None
    seeds: int | None = None


@dataclass(frozen=True)
class DeepSearch:
    """Deep readouts: memory sizes, also of memories that are trained too, variants to choose from, and training."""

    sizes: tuple[int, ...]
    trained_sizes: tuple[int, ...]
    variants: tuple[DeepVariant, ...]
    max_epochs: int
    batch_size: int = 128
    learning_rate: float = TrainingOptions.learning_rate
    ema_decay: float = 0.999
    schedule: str = "cosine"
    memory_lr_scale: float = 0.01


@dataclass(frozen=True)
class NetworkSearch:
    """Networks trained through time: data, rows, learning rates that are searched, and what all share."""

    data: str
    seeds: int
    units: int
    rows: tuple[str, ...]
    learning_rates: tuple[float, ...]
    epochs: int
    detach: float = 0.25
    memory_lr_scale: float = 0.1


@dataclass(frozen=True)
class Config:
    """Data, seeds, sequences that a LAES is fitted to, memory sizes, and what reads or replaces the memories."""

    data: str
    seeds: int
    fitted: int
    sizes: tuple[int, ...]
    networks: NetworkSearch | None
    deep: DeepSearch
    readouts: tuple[ReadoutSearch, ...] = field(default_factory=tuple)


MLPS = ((100,), (100, 100), (100, 100, 100))
ROWS = (
    "LSTM",
    "LMN-B, LAES",
    "LMN-B",
    "LMN-B, LAES, detach",
    "LMN-B, orthogonal",
    "LMN-B, detach",
    "LMN-B, diagonal",
)
NARROW = DeepVariant((512, 512), 0.1, 0.3)
WIDE = DeepVariant((1024, 1024), 0.2, 0.5)
WIDEST = DeepVariant((2048, 2048), 0.2, 0.5)
SMALL_READOUTS = (ReadoutSearch("ridge", {"alpha": (1.0,)}),)
PAPER_READOUTS = (
    ReadoutSearch("ridge", {"alpha": tuple(1 / c for c in POWERS)}),
    ReadoutSearch("logistic", {"C": tuple(POWERS)}),
    ReadoutSearch("linear_svm", {"C": tuple(POWERS)}),
    ReadoutSearch("svm", {"C": tuple(POWERS), "gamma": ("scale", *POWERS)}),
    ReadoutSearch("mlp", {"hidden_layer_sizes": MLPS}),
)
SMOKE = Config(
    "digits",
    2,
    60,
    (6, 16),
    NetworkSearch("digits:100:40:40", 1, 8, ("LSTM", "LMN-B, LAES, detach"), (1e-3,), 1),
    DeepSearch((16,), (16,), (DeepVariant((20,), 0.0, 0.1),), 2, 64, ema_decay=0.0),
    (
        ReadoutSearch("ridge", {"alpha": (1.0, 10.0)}),
        ReadoutSearch("svm", {"C": (1.0,), "gamma": ("scale",)}, 200, 1),
        ReadoutSearch("mlp", {"hidden_layer_sizes": ((10,),)}, 200, 1),
    ),
)


def grids(name: str) -> dict[str, Config]:
    """Return the grids of one set; `small` tries less on smnist than on psmnist, `memories` has no networks."""
    permuted = name == "psmnist"
    memories = Config(
        name,
        3,
        10_000,
        (128, 256, 468) if permuted else (128,),
        None,
        DeepSearch((128, 256, 468) if permuted else (128,), (128, 256) if permuted else (128,), (NARROW,), 15),
        SMALL_READOUTS,
    )
    networks = NetworkSearch("psmnist:10000:2000:10000", 2, 128, ROWS, (1e-3, 1e-4), 10)
    return {
        "smoke": SMOKE,
        "memories": memories,
        "small": replace(memories, networks=networks) if permuted else memories,
        "paper": Config(
            name,
            3,
            10_000,
            (32, 64, 128, 256, 468),
            NetworkSearch(name, 3, 128, ROWS, (1e-3, 1e-4), 10),
            DeepSearch((128, 256, 468), (128, 256, 468), (NARROW, WIDE, WIDEST), 100),
            PAPER_READOUTS,
        ),
    }
