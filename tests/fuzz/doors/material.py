"""Valid run folders, fits, estimators and journals, made once per process and kept in memory."""

from __future__ import annotations

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.oracle import inside, run_command

Files = dict[str, bytes]


def series(seed: int = 0, steps: int = 30) -> np.ndarray:
    """A series (steps, 2) float32."""
    return np.random.default_rng(seed).normal(size=(steps, 2)).astype("f4")


@cache
def run_files() -> Files:
    """The files of a run of one epoch on a series of 2 features."""
    from linmem.nn.registry import ModelOptions
    from linmem.runs import runner
    from linmem.runs.options import RunOptions
    from linmem.training.options import TrainingOptions

    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "a.npy", series())
        options = RunOptions(
            str(Path(folder) / "a.npy"), ModelOptions(hidden_size=2, memory_size=3), TrainingOptions(max_epochs=1)
        )
        runner.run(options, Path(folder) / "run")
        files = {path.name: path.read_bytes() for path in (Path(folder) / "run").iterdir()}
    config = json.loads(files["config.json"]) | {"data": "a.npy"}
    return {name: content for name, content in files.items() if name != "run.lock"} | {
        "config.json": json.dumps(config).encode(),
        "pretraining.json": b'{"seconds": 1.0, "cpu_seconds": 1.0, "epochs": 1}',
    }


@cache
def fit_file() -> bytes:
    """A fitted autoencoder."""
    from linmem import LinearAutoencoder

    return _saved(LinearAutoencoder(memory_size=3, lag_decay=0.9).fit([series(0), series(1)]), right_vectors=True)


@cache
def estimator_files() -> dict[str, bytes]:
    """Fitted estimators by class name."""
    import linmem

    cases, labels = [series(seed) + seed % 2 for seed in range(8)], [seed % 2 for seed in range(8)]
    found = {
        "MemoryClassifier": linmem.MemoryClassifier().fit(cases, np.array(["down", "up"])[labels]),
        "MemoryForecaster": linmem.MemoryForecaster().fit(series(0, 80)),
        "MemoryAnomalyDetector": linmem.MemoryAnomalyDetector().fit(series(0, 80)),
    }
    return {name: _saved(one) for name, one in found.items()}


def _saved(estimator: Any, **options: Any) -> bytes:
    folder = Path(tempfile.mkdtemp())
    estimator.save(folder / "a.safetensors", **options)
    content = (folder / "a.safetensors").read_bytes()
    shutil.rmtree(folder)
    return content


@cache
def journal() -> str:
    """The journal of a study with a complete, a failed and a running trial."""
    from linmem.runs.sweep.study import Study

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.journal"
        study = Study(str(path), "sweep", "owner")
        for name in ("a", "b", "c"):
            study.start(name, {"model": "lstm", "hidden_size": 3})
        study.complete("a", 0.5, {"scores": {"mse": 0.5, "accuracy": 0.1}, "parameters": 3})
        study.fail("b", "Traceback: ValueError: x", "ValueError")
        return path.read_text()


def write(folder: Path, files: Files) -> None:
    """Write files into a new folder."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def use_commands() -> None:
    """Run the commands of the cases once, so that forked processes need not import them again."""
    with tempfile.TemporaryDirectory() as name, inside(Path(name)):
        write(Path("run"), run_files())
        write(Path("fit"), {"autoencoder.safetensors": fit_file()})
        np.save("a.npy", series())
        run_command("encode", "fit", "a.npy", "--out", "states.csv")
        run_command("predict", "run", "a.npy", "--out", "predicted.csv")
        run_command("evaluate", "run")
