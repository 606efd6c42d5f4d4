"""YAML and JSON files with a search space, for `sweep --space`."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.doors.yaml import BOMB, yaml_of
from tests.fuzz.mutations import NUMBERS, VALUES, choose, mutated_bytes, mutated_json, mutated_text
from tests.fuzz.oracle import Door

SPACE: dict[str, Any] = {
    "model": ["lstm", "lmn-b"],
    "hidden_size, memory_size": [[2, 3], [4, 5]],
    "seed": [0, 1],
    "clip": 1.0,
}
WIDE = {name: list(range(1, 60)) for name in ("hidden_size", "memory_size", "lags", "scales", "channels", "seed")}


def make(rng: Random, folder: Path) -> dict[str, Any]:
    """A mutated space."""
    space = choose(rng, (SPACE, [SPACE, {"model": "gru"}]))
    words = (*NUMBERS, *map(str, VALUES), "hidden_size", "pretrain", "[1, 2]", "[[1, 2]]", "lag_decay")
    kind = rng.random()
    if kind < 0.05:
        content = yaml_of(WIDE).encode()
    elif kind < 0.1:
        content = (BOMB + choose(rng, ("hidden_size: *i\n", "model: *i\n", "*i: 1\n", "hidden_size: [*i]\n"))).encode()
    elif kind < 0.15:
        content = mutated_bytes(rng, str(space).encode())
    elif kind < 0.6:
        content = mutated_json(rng, space)
    else:
        content = mutated_text(rng, str(space).replace("'", ""), words)
    (folder / "space.yaml").write_bytes(content)
    return {"trials": choose(rng, (None, None, 1, 5))}


def use(folder: Path, out: Path, arguments: dict[str, Any]) -> None:
    """Read the space and list its runs."""
    from linmem.runs.sweep import space

    read = space.read(folder / "space.yaml")
    runs = space.plan("chorales", read, trials=arguments["trials"])
    assert runs
    assert len(set(runs)) == len(runs)


DOOR = Door("space", make, use, allowed=(ValueError,), names_file=False)
