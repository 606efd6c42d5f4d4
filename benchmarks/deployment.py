"""Deployment: accuracy, size and microseconds per step of exported models on JapaneseVowels, official split.

MemoryClassifier (closed form, views that stream) and an LMN as C programs, beside an nn.LSTM as C and as the ONNX graph
of one step in ONNX Runtime. Networks are trained by `linmem train` with default options and standardized inputs. One
thread, processor time; C is called through ctypes, which takes part of the time.

    python benchmarks/deployment.py [--max_epochs 100]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from streaming import compiled, microseconds
from wheel_series import path

from linmem.data import FolderOptions
from linmem.export.c_estimators import estimator_program
from linmem.export.c_networks import network_program
from linmem.nn.registry import ModelOptions
from linmem.runs import export_run
from linmem.runs.options import EstimatorOptions, RunOptions
from linmem.runs.runner import evaluate_run, run
from linmem.training.options import TrainingOptions

SET = "JapaneseVowels"


def onnx_step(file: Path, features: int) -> Callable[[np.ndarray], None]:
    """One step of a graph in ONNX Runtime, the state fed back."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options)
    (first, *states), (_, *after) = session.get_inputs(), session.get_outputs()
    feed = {one.name: np.zeros([d if isinstance(d, int) else 1 for d in one.shape], np.float32) for one in states}

    def step(x: np.ndarray) -> None:
        feed[first.name] = x.reshape(1, features)
        _, *new = session.run(None, feed)
        feed.update({one.name: value for one, value in zip(states, new, strict=True)})
        assert len(new) == len(after)

    return step


def main() -> None:
    """Print a row per model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max_epochs", type=int, default=100)
    training = TrainingOptions(max_epochs=parser.parse_args().max_epochs)
    torch.set_num_threads(1)
    print(
        "| model | test accuracy % | C, bytes of constants + RAM | C, µs per step | ONNX, bytes | ONNX, µs per step |"
    )
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder, data = Path(name), Path(name) / SET
        data.mkdir()
        for split in ("TRAIN", "TEST"):
            shutil.copy(path(f"{SET}/{SET}_{split}.ts"), data)
        base, scaled = RunOptions(str(data)), FolderOptions(standardize=True)
        runs = {
            f"MemoryClassifier, {n} projections": RunOptions(
                base.data, ModelOptions("estimator"), estimator=EstimatorOptions(n, streaming=True)
            )
            for n in (200, 1000)
        }
        runs |= {
            title: RunOptions(base.data, model, training, files=scaled)
            for title, model in {
                "LMN, 16 + 32 units": ModelOptions("lmn-b", 16, 32),
                "nn.LSTM, 32 units": ModelOptions("lstm", 32),
                "nn.LSTM, 64 units": ModelOptions("lstm", 64),
            }.items()
        }
        for index, (title, options) in enumerate(runs.items()):
            out = folder / f"run{index}"
            run(options, out)
            accuracy = 100 * list(evaluate_run(out).values())[-1].accuracy  # type: ignore[attr-defined]
            found = export_run.read_model(out, "loss")
            noise = np.random.default_rng(0).standard_normal((2000, found.series[0].shape[1])).astype(np.float32)
            program = (
                estimator_program(found.model)
                if found.is_estimator
                else network_program(found.model, found.standardization)
            )
            step, sizes = compiled(program, folder, index)
            cells = [f"{accuracy:.2f}", sizes, f"{microseconds(step, noise):.1f}", "", ""]
            if not found.is_estimator:
                export_run.export(out, "onnx", folder / f"export{index}")
                file = folder / f"export{index}" / "model_step.onnx"
                cells[3:] = [str(file.stat().st_size), f"{microseconds(onnx_step(file, noise.shape[1]), noise):.1f}"]
            print(f"| {title} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
