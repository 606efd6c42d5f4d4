"""Search spaces of table 2: each part of a grid is a data set under a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from linmem.runs.sweep import space
from linmem.training.options import TrainingOptions

SETS = ("jsb_chorales", "piano_midi", "nottingham", "muse_data")
PROTOCOLS = ("plain", "regularized")
SMALL_LMN = "pret-LMN-B, a fifth"  # the row with at most a fifth of the LSTM's parameters


@dataclass(frozen=True)
class Part:
    """A data set under a protocol; `lmn_sizes` are pairs (f, p), `dropout` pairs (input, readout).

    `chosen_on` names another set whose valid split chooses the settings; "" stands for the set itself. `dropout`,
    `clip` and `memory_decay` belong to the regularized protocol, `weight_decay` to the plain one, `controls` to L18's:
    rows that are searched once more with limits on the norms of their weights (`linmem.LMN`'s default, not L18's).
    """

    data: str
    protocol: str
    units: tuple[int, ...] = (100, 250)
    lmn_sizes: tuple[tuple[int, int], ...] = ((100, 100), (250, 200))
    weight_decay: tuple[float, ...] = (0.0,)
    output_bias_init: tuple[str, ...] = ("marginal", "default")
    dropout: tuple[tuple[float, float], ...] = ((0.1, 0.3), (0.2, 0.5))
    clip: float = TrainingOptions.clip
    memory_decay: float = 0.3
    max_epochs: int = 120
    pretrain_epochs: int = 25
    patience: int = 10
    truncate: int = 0
    seeds: int = 3
    chosen_on: str = ""
    excluded_rows: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """The parts of a grid."""

    parts: tuple[Part, ...]


SMOKE = Part(
    "chorales",
    "plain",
    units=(4,),
    lmn_sizes=((4, 6),),
    output_bias_init=("marginal",),
    dropout=((0.1, 0.3),),
    max_epochs=1,
    pretrain_epochs=1,
    patience=1,
    seeds=1,
    excluded_rows=("pret-RNN", "GRU", "RNN-RBM", "LMN-A"),
)
# The larger sets: rows that two cores have no time for are left out, and pieces of thousands of steps are truncated.
_LARGE = Part("", "regularized", patience=8, truncate=100, excluded_rows=("RNN", "pret-RNN", "GRU", "RNN-RBM"))
_SEARCHED = replace(
    _LARGE, output_bias_init=("marginal",), dropout=((0.0, 0.0), (0.1, 0.2)), clip=0.25, memory_decay=0.7
)
_TRANSFERRED = replace(_LARGE, protocol="plain", seeds=1, chosen_on="jsb_chorales")
_EPOCHS = {"piano_midi": 60, "nottingham": 50, "muse_data": 25}
_SEEDS = {"piano_midi": 3, "nottingham": 3, "muse_data": 1}
PAPER = Part(
    "",
    "",
    units=(50, 100, 250, 500, 750),
    lmn_sizes=space.PAPER_SIZES,
    weight_decay=(0.0, 1e-7, 1e-6, 1e-5, 1e-4),
    dropout=((0.0, 0.0), (0.1, 0.3), (0.2, 0.5)),
    max_epochs=1000,
    pretrain_epochs=60,
    patience=20,
)

GRIDS = {
    "smoke": Config((SMOKE, replace(SMOKE, protocol="regularized", lmn_sizes=((4, 5),)))),
    "small": Config(
        (
            Part("jsb_chorales", "plain", lmn_sizes=((50, 100), (100, 250))),
            Part("jsb_chorales", "regularized"),
            *(replace(_SEARCHED, data=name, seeds=_SEEDS[name], max_epochs=n) for name, n in _EPOCHS.items()),
            *(replace(_TRANSFERRED, data=name, max_epochs=n) for name, n in _EPOCHS.items()),
        )
    ),
    "paper": Config(tuple(replace(PAPER, data=name, protocol=protocol) for protocol in PROTOCOLS for name in SETS)),
}


def search_spaces(part: Part) -> dict[str, space.Space]:
    """Return the search space of every row of a part."""
    options: dict[str, Any] = {
        "max_epochs": part.max_epochs,
        "patience": part.patience,
        "truncate": part.truncate,
        "pretrain_epochs": part.pretrain_epochs,
        "output_bias_init": part.output_bias_init,
    }
    if part.protocol == "paper":
        return {row: one for row, one in _as_published(part, options).items() if row not in part.excluded_rows}
    if part.protocol == "plain":
        spaces = space.table2_rows(part.units, part.lmn_sizes, weight_decay=part.weight_decay, **options)
    else:
        options |= {"learning_rate": 3e-3, "ema_decay": 0.98, "clip": part.clip}
        options["input_dropout, readout_dropout"] = part.dropout
        spaces = space.table2_rows(part.units, part.lmn_sizes, **options)
        del spaces["RNN-RBM"]  # when these searches were planned it had neither dropout nor averaged weights
        for row in ("LMN-A", "LMN-B", "pret-LMN-B"):
            spaces[row] = {**spaces[row], "nonlinearity": "relu"}
        pretraining = {"lags": 4, "unfolded_nonlinearity": "relu", "memory_decay": part.memory_decay}
        spaces["pret-LMN-B"] = {**spaces["pret-LMN-B"], **pretraining}
    return {row: one for row, one in spaces.items() if row not in part.excluded_rows}


def _as_published(part: Part, options: Mapping[str, Any]) -> dict[str, space.Space]:
    """Return L18's search spaces: one Adam rate for all weights, torch's initialization, tanh, L2 and all sizes."""
    published = {**options, "learning_rate": 1e-3, "memory_lr_scale": 1.0, "nonlinearity": "tanh"}
    published |= {"output_bias_init": "default", "weight_decay": part.weight_decay}
    spaces = space.table2_rows(part.units, part.lmn_sizes, **published)
    del spaces["RNN-RBM"]  # B12's figures
    spaces["LSTM"] = {**spaces["LSTM"], "forget_bias": (0.0, 1.0)}
    for row in ("LMN-A", "LMN-B", "pret-LMN-B"):
        spaces[row] = {**spaces[row], "weight_init": "uniform"}
    spaces["pret-LMN-B"] = {**spaces["pret-LMN-B"], "lags": 10, "unfolded_nonlinearity": "selu", "memory_decay": 1.0}
    return spaces | {f"{row}, limited norms": {**spaces[row], "limit_norms": True} for row in part.controls}
