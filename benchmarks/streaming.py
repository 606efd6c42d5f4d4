"""Streaming: microseconds per step of every estimator with `update`, beside one step of torch layers and of C programs.

One thread, one stream of 2 channels. Constant time: the second column is the time per step after 100 times as many
steps. C programs are those of `linmem export --format c`, called through ctypes, which takes part of the time; their
constants and RAM in bytes.

    python benchmarks/streaming.py
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from linmem import LMN, LinearAutoencoder, MemoryAnomalyDetector, MemoryClassifier, MemoryFeatures, MemoryForecaster
from linmem.export.c_check import FLAGS, find_compiler
from linmem.export.c_estimators import estimator_program
from linmem.export.c_networks import network_program
from linmem.export.c_program import Program
from linmem.nn.sequence_model import SequenceModel

STEPS = 100
CAUSAL = ["scaled", "scaled differences"]


def microseconds(step: Callable[[np.ndarray], Any], series: np.ndarray) -> float:
    """Median over 10 blocks of the processor time per step."""
    blocks = []
    for block in np.array_split(series, 10):
        start = time.process_time()
        for x in block:
            step(x)
        blocks.append((time.process_time() - start) / len(block) * 1e6)
    return float(np.median(blocks))


def compiled(program: Program, folder: Path, index: int) -> tuple[Callable[[np.ndarray], Any], str]:
    """The step of a compiled program, and its sizes."""
    name = f"program{index}"
    source = program.write(name)
    (folder / f"{name}.c").write_text(source.code)
    command = [find_compiler() or "cc", *FLAGS, "-o", str(folder / f"{name}.so"), str(folder / f"{name}.c"), "-lm"]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(folder / f"{name}.so"))
    getattr(library, f"{name}_reset")()
    step, output = getattr(library, f"{name}_step"), np.zeros(program.outputs, np.float32)
    target = output.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    return lambda x: step(x.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), target), (
        f"{source.flash_bytes} + {source.ram_bytes}"
    )


def network(layer: nn.Module) -> tuple[Callable[[np.ndarray], Any], SequenceModel]:
    """One step of a layer with a linear readout of 2 outputs, and the model."""
    model, state = SequenceModel(layer, nn.Linear(32, 2)).eval(), [None]

    @torch.no_grad()
    def step(x: np.ndarray) -> None:
        _, state[0] = model(torch.from_numpy(x)[None, None], state[0])

    return step, model


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rng, t = np.random.default_rng(0), np.arange(2000)
    x = np.stack([np.sin(0.1 * t), np.cos(0.07 * t)], 1) + 0.1 * rng.standard_normal((2000, 2))
    windows, labels = [x[i : i + 100] for i in range(0, 2000, 100)], np.arange(20) % 2
    classifiers = {
        f"MemoryClassifier, {n} projections": MemoryClassifier(views=CAUSAL, n_projections=n).fit(windows, labels)
        for n in (500, 10_000)
    }
    detector, forecaster = MemoryAnomalyDetector().fit(x), MemoryForecaster(season=None).fit(x)
    autoencoder, state = LinearAutoencoder(32, lag_decay=0.97).fit([x]), [None]

    def encode(one: np.ndarray) -> None:
        state[0] = autoencoder.step(one, state[0])

    layers = {"LMN(2, 16, 32)": LMN(2, 16, 32, batch_first=True), "nn.LSTM(2, 32)": nn.LSTM(2, 32, batch_first=True)}
    networks = {name: network(layer) for name, layer in layers.items()}
    rows: dict[str, tuple[Callable[[np.ndarray], Any], Program | None]] = {
        "MemoryAnomalyDetector": (detector.update, estimator_program(detector)),
        "MemoryForecaster": (forecaster.update, estimator_program(forecaster)),
        "MemoryFeatures, 10,000 projections": (MemoryFeatures(views=CAUSAL).fit(windows).update, None),
        **{name: (one.update, estimator_program(one)) for name, one in classifiers.items()},
        "LinearAutoencoder.step, 32 units": (encode, None),
        **{f"{name} and readout": (step, network_program(model)) for name, (step, model) in networks.items()},
    }
    print("| | µs per step | 100 times later | C, µs per step | C, bytes of constants + RAM |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for index, (name, (step, program)) in enumerate(rows.items()):
            count = 10 * STEPS
            few = rng.standard_normal((count, 2)).astype(np.float32)
            first = microseconds(step, few[:STEPS])
            for one in np.resize(few, (100 * STEPS - STEPS, 2)):
                step(one)
            later, cells = microseconds(step, few[:STEPS]), ["", ""]
            if program is not None and find_compiler():
                run, sizes = compiled(program, Path(folder), index)
                cells = [f"{microseconds(run, few):.1f}", sizes]
            print(f"| {name} | {first:.0f} | {later:.0f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
