"""Synthetic data sets by name: tasks and series of `synthetic` at default sizes and fixed seeds."""

from __future__ import annotations

import os
from collections.abc import Callable

from linmem.data.splits import SPLITS, PairedSplits, Splits
from linmem.data.synthetic import Paired, adding, copy, generation, mackey_glass, warped_copy, waveform

SIZES = {"train": 2000, "valid": 500, "test": 500}
TASKS: dict[str, Callable[[int, int], Paired]] = {  # (number of sequences, seed) -> task of default size
    "copy": lambda count, seed: copy(count, seed=seed),
    "warped_copy": lambda count, seed: warped_copy(count, seed=seed),
    "adding": lambda count, seed: adding(count, seed=seed),
}


def load_task(name: str, root: str | os.PathLike[str] | None = None) -> PairedSplits:
    """Load a task of TASKS: 2,000, 500 and 500 sequences from seeds 0, 1 and 2; `root` is not used."""
    pairs = {split: TASKS[name](SIZES[split], seed) for seed, split in enumerate(SPLITS)}
    return _paired_splits(name, pairs, f"linmem.data.synthetic.{name} at its default sizes, seeds 0, 1 and 2")


def load_generation(root: str | os.PathLike[str] | None = None) -> PairedSplits:
    """Load one waveform to reproduce, the same in all splits; `root` is not used."""
    whole = generation(waveform())
    return _paired_splits("generation", dict.fromkeys(SPLITS, whole), "linmem.data.synthetic.waveform, seed 0")


def _paired_splits(name: str, pairs: dict[str, Paired], provenance: str) -> PairedSplits:
    train, valid, test = (pairs[split].inputs for split in SPLITS)
    return PairedSplits(
        name,
        train,
        valid,
        test,
        kind="series",
        titles={split: [f"{name} {split} {i}" for i in range(len(pairs[split].inputs))] for split in SPLITS},
        targets={split: pairs[split].targets for split in SPLITS},
        provenance=provenance,
    )


def load_mackey_glass(tau: int, root: str | os.PathLike[str] | None = None) -> Splits:
    """Load Mackey–Glass series of 500 steps from 16, 4 and 4 initial values; `root` is not used."""
    cut = {"train": range(16), "valid": range(16, 20), "test": range(20, 24)}
    name = f"mackey_glass_{tau}"
    train, valid, test = (
        [mackey_glass(500, tau=tau, seed=seed, washout=200) for seed in cut[split]] for split in SPLITS
    )
    return Splits(
        name,
        train,
        valid,
        test,
        kind="series",
        titles={split: [f"{name} {seed}" for seed in seeds] for split, seeds in cut.items()},
        provenance=f"Mackey-Glass delay differential equation, tau = {tau}, integrated by linmem.data.synthetic",
    )
