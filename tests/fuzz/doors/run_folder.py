"""JSON and JSONL files of run folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from tests.fuzz.doors import material
from tests.fuzz.mutations import choose, mutated_bytes, mutated_json
from tests.fuzz.oracle import Door, run_command

JSON = ("config.json", "config.json", "config.json", "scores.json", "pretraining.json", "history.jsonl")


def prepare() -> None:
    """Train the run."""
    material.use_commands()


def make(rng: Random, folder: Path) -> dict[str, Any]:
    """A run folder with one mutated or missing file."""
    files = dict(material.run_files())
    name = choose(rng, JSON)
    if rng.random() < 0.05:
        del files[name]
    elif rng.random() < 0.8:
        files[name] = mutated_json(rng, json.loads(files[name]))
    else:
        files[name] = mutated_bytes(rng, files[name])
    material.write(folder / "run", files)
    np.save(folder / "a.npy", material.series())
    return {"action": choose(rng, ("load", "load", "load", "evaluate", "predict", "resume"))}


def use(folder: Path, out: Path, arguments: dict[str, Any]) -> None:
    """Load the model and the results, or run a command on the run."""
    import linmem
    from linmem.runs import directory

    run = folder / "run"
    if arguments["action"] == "load":
        model = linmem.load(run)
        with torch.no_grad():
            model(torch.zeros(1, 4, model.input_size))
        assert isinstance(directory.read_scores(run)["scores"], dict)
        assert directory.read_pretraining(run)["seconds"] >= 0
    elif arguments["action"] == "evaluate":
        assert "MSE" in run_command("evaluate", "run")
    elif arguments["action"] == "predict":
        run_command("predict", "run", "a.npy", "--out", str(out / "p.csv"))
        assert (out / "p.csv").read_text().startswith("sequence,step,")  # the run of a mutated kind has no file names
    else:  # resuming writes into the run folder, so a copy of it resumes
        shutil.copytree(run, out / "run")
        run_command("train", "a.npy", "--resume", "--out", str(out / "run"))


DOOR = Door("json", make, use, prepare, names_file=False)
