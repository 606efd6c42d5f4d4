"""YAML files with options for `--config`."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.doors import material
from tests.fuzz.mutations import NUMBERS, VALUES, choose, mutated_bytes, mutated_json, mutated_text
from tests.fuzz.oracle import Door, run_command

ENCODE = {
    "split": "test",
    "every_step": True,
    "force": True,
    "standardize": False,
    "layout": "tc",
    "seed": 0,
    "threads": 1,
}
TRAIN = {"model": "lstm", "hidden_size": 2, "learning_rate": 0.001, "max_epochs": 1, "lag_decay": [0.5], "seed": 0}
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def yaml_of(options: dict[str, Any]) -> str:
    """Block style."""
    return "".join(
        f"{name}: {str(value).lower() if isinstance(value, bool) else value}\n" for name, value in options.items()
    )


def prepare() -> None:
    """Fit the autoencoder that `encode` uses."""
    material.use_commands()


def make(rng: Random, folder: Path) -> dict[str, Any]:
    """A mutated configuration of `encode`, which is cheap enough to run, or of `train` on data that do not exist."""
    material.write(folder / "fit", {"autoencoder.safetensors": material.fit_file()})
    np.save(folder / "a.npy", material.series())
    command = choose(rng, ("encode", "encode", "train"))
    options = ENCODE if command == "encode" else TRAIN
    words = (*NUMBERS, *map(str, VALUES), *options)
    kind = rng.random()
    if kind < 0.1:
        content = yaml_of(options).encode()
    elif kind < 0.2:
        content = mutated_bytes(rng, yaml_of(options).encode())
    elif kind < 0.25:
        content = (BOMB + yaml_of(options) + choose(rng, ("split: *i\n", "hidden_size: *i\n", ""))).encode()
    elif kind < 0.5:
        content = mutated_json(rng, options)
    else:
        content = mutated_text(rng, yaml_of(options), words)
    (folder / "options.yaml").write_bytes(content)
    return {"command": command}


def use(folder: Path, out: Path, arguments: dict[str, Any]) -> None:
    """Run the command with the configuration."""
    given = ["fit", "a.npy", "--out", str(out / "states.csv")] if arguments["command"] == "encode" else ["missing"]
    run_command(arguments["command"], *given, "--config", "options.yaml")
    assert (out / "states.csv").read_text().startswith("sequence,step,memory_0")


DOOR = Door("yaml", make, use, prepare)
