"""The search of L18's protocol: Adam at 1e-3 for all weights, torch's initialization, tanh, all sizes and penalties."""

from __future__ import annotations

from dataclasses import dataclass

from linmem.experiments.harness.training import with_seed
from linmem.runs.options import RunOptions
from linmem.runs.sweep import space

SMALL_LMN = "pret-LMN-B, a fifth"  # the row with at most a fifth of the LSTM's parameters [L19]


@dataclass(frozen=True)
class Part:
    """A data set, the lists to search, and the limits of training; `lmn_sizes` are pairs (f, p).

    `controls` are rows that are searched once more with limits on the norms of their weights (`linmem.LMN`'s default,
    not L18's).
    """

    data: str
    units: tuple[int, ...] = (50, 100, 250, 500, 750)
    lmn_sizes: tuple[tuple[int, int], ...] = space.PAPER_SIZES
    weight_decay: tuple[float, ...] = (0.0, 1e-7, 1e-6, 1e-5, 1e-4)
    max_epochs: int = 1000
    pretrain_epochs: int = 60
    patience: int = 20
    seeds: int = 3
    excluded_rows: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()


def search_spaces(part: Part) -> dict[str, space.Space]:
    """Return the search space of every row; the RNN-RBM is left out, whose figures in L18 are B12's."""
    published = {
        "max_epochs": part.max_epochs,
        "patience": part.patience,
        "pretrain_epochs": part.pretrain_epochs,
        "learning_rate": 1e-3,
        "memory_lr_scale": 1.0,
        "nonlinearity": "tanh",
        "output_bias_init": "default",
        "weight_decay": part.weight_decay,
    }
    spaces = space.table2_rows(part.units, part.lmn_sizes, **published)
    del spaces["RNN-RBM"]
    spaces["LSTM"] = {**spaces["LSTM"], "forget_bias": (0.0, 1.0)}
    for row in ("LMN-A", "LMN-B", "pret-LMN-B"):
        spaces[row] = {**spaces[row], "weight_init": "uniform"}
    spaces["pret-LMN-B"] = {**spaces["pret-LMN-B"], "lags": 10, "unfolded_nonlinearity": "selu", "memory_decay": 1.0}
    spaces |= {f"{row}, limited norms": {**spaces[row], "limit_norms": True} for row in part.controls}
    return {row: one for row, one in spaces.items() if row not in part.excluded_rows}


def plan_runs(part: Part, seed: int) -> dict[str, list[RunOptions]]:
    """Return the trials of every row of a part."""
    return {row: [with_seed(o, seed) for o in space.plan(part.data, one)] for row, one in search_spaces(part).items()}
