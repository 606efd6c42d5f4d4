"""Command lines: every command with its options and values that do not belong to them.

Valid commands that train or draw take seconds; most cases therefore have something to refuse, and only the cheap
commands succeed.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.doors import material
from tests.fuzz.mutations import choose
from tests.fuzz.oracle import Door, run_command

ODD = (
    "", "-1", "0", "x", "nan", "inf", "-inf", "1e308", "1" + "0" * 30, "9" * 5001, "1_0", "٣", "true", "null",
    "[]", "{}", "[1",
    "~nobody", "~nobody/x", "/dev/null", "/dev/full", "/", ".", "..", "a.npy", "missing", "in/out", "\ud800",
    "x" * 5000,
    "a\nb", "\x1b[31m", "--", "--x", "-", "*", "sqlite:///", "sqlite://", "http://x", "meta", "cuda:99", "cpu:-1",
    "mps",
    "chorales:0", "chorales:-1", "chorales:1:1:1:1", "chorales:" + "9" * 400, "copy:x", "timit", "iam_ondb",
    "fifo", "link",
)  # fmt: skip
SHARED = ("--seed", "--device", "--threads", "--config", "--out", "--help", "--force", "--nonsense")
OPTIONS = {
    "fit": ("--memory_size", "--solver", "--decoder", "--refine", "--lag_decay", "--layout", "--split_seed",
    "--labels"),
    "encode": ("--split", "--every_step", "--layout", "--standardize", "--steps_per_quarter", "--labels"),
    "train": (
        "--model", "--hidden_size", "--memory_size", "--nonlinearity", "--lags", "--scales", "--window", "--channels",
        "--forget_bias", "--detach", "--input_dropout", "--readout_dropout", "--lag_decay", "--readout",
        "--nade_size",
        "--note_order", "--learning_rate", "--batch_size", "--max_epochs", "--patience", "--clip", "--weight_decay",
        "--memory_lr_scale", "--ema_decay", "--orthogonality", "--truncate", "--precision", "--pretrain",
        "--pretrain_epochs", "--pretrain_learning_rate", "--unfolded_nonlinearity", "--memory_decay",
        "--output_bias_init", "--resume",
    ),
    "evaluate": ("--split", "--best_by"),
    "predict": ("--split", "--best_by", "--every_step"),
    "generate": ("--piece", "--prompt_length", "--steps", "--temperature", "--top_p", "--voices", "--max_voices",
    "--tempo"),
    "harmonize": ("--temperature", "--top_p", "--voices", "--max_voices", "--tempo", "--steps_per_quarter"),
    "report": ("--results",),
    "reproduce": ("--grid",),
    "sweep": ("--space", "--grid", "--trials", "--storage", "--study", "--take_over"),
}  # fmt: skip
BASE = {
    "fit": ["missing"],
    "encode": ["fit", "a.npy"],
    "train": ["a.npy", "--max_epochs", "1", "--hidden_size", "2", "--memory_size", "3"],
    "evaluate": ["run"],
    "predict": ["run", "a.npy"],
    "generate": ["run"],
    "harmonize": ["run", "a.npy"],
    "report": ["--results", "missing"],
    "reproduce": ["x"],
    "sweep": ["a.npy", "--space", "missing"],
}
WORKING = ("encode", "encode", "encode", "evaluate", "predict", "train", "train", "train", "train")


def prepare() -> None:
    """Make the run and the fit."""
    material.use_commands()


def make(rng: Random, folder: Path) -> dict[str, Any]:
    """A command with 1 to 3 options of which most have values that do not belong to them."""
    material.write(folder / "run", material.run_files())
    material.write(folder / "fit", {"autoencoder.safetensors": material.fit_file()})
    np.save(folder / "a.npy", material.series())
    command = choose(rng, (*OPTIONS, *WORKING))
    arguments = [command, *BASE[command]]
    for _ in range(rng.randint(0, 2)):
        option = choose(rng, OPTIONS[command] if rng.random() < 0.85 else SHARED)
        arguments.append(option)
        if rng.random() < 0.95:
            arguments.append(
                choose(rng, ODD) if rng.random() < 0.8 else choose(rng, ("1", "2", "0.5", "lstm", "valid"))
            )
    if rng.random() < 0.1:
        arguments[rng.randrange(len(arguments))] = choose(rng, ODD)
    if rng.random() < 0.05:
        del arguments[rng.randrange(len(arguments))]
    return {"arguments": arguments}


def use(folder: Path, out: Path, arguments: dict[str, Any]) -> None:
    """Run the command with an output folder of its own, unless the case names one."""
    given = list(arguments["arguments"])
    if "\0" in "".join(given) or "--out" in given or given[:1] == ["--out"]:
        given = [str(out / "x") if before == "--out" else one for before, one in zip(["", *given], given, strict=False)]
    elif given and given[0] in OPTIONS:
        target = "x" if given[0] not in ("encode", "predict") else "x.csv"
        given += ["--out", str(out / target)]
    run_command(*given)


DOOR = Door("command", make, use, prepare)
