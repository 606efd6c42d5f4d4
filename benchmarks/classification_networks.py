"""Networks for benchmarks/classification.py: LSTM and LMN-B trained by gradient, and reservoirpy's echo state network.

Equal effort for LSTM and LMN: the inputs standardized, about equally many weights, the learning rates of `RATES`, each
trained until the validation loss has not fallen for `PATIENCE` epochs; the rate with the lowest validation loss counts.
A fifth of the training split, stratified, is held out for that. The echo state has the values of reservoirpy's own
classification tutorial: 500 units, spectral radius 0.9, leaking rate 0.1, ridge 1e-6, read at the last state.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.model_selection import train_test_split

from linmem.data import LabelledSplits, standardized
from linmem.nn.registry import ModelOptions, build_model
from linmem.training.loop import evaluate, train
from linmem.training.options import TrainingOptions
from linmem.training.tasks import Classes

NETWORKS = ("LSTM", "LMN")
RATES = (1e-3, 5e-3)
MAX_EPOCHS, PATIENCE = 200, 40
SIZES = {"LSTM": ModelOptions("lstm", hidden_size=64), "LMN": ModelOptions("lmn-b", hidden_size=64, memory_size=80)}


def network_accuracy(
    method: str, train_set: Sequence[np.ndarray], y: np.ndarray, test: Sequence[np.ndarray], z: np.ndarray, seed: int
) -> float:
    """Accuracy in % on (T_i, channels) series `test` of labels `z`."""
    names, codes = np.unique(y, return_inverse=True)
    kept, held_out = train_test_split(np.arange(len(y)), test_size=0.2, stratify=codes, random_state=seed)
    tensors = [torch.tensor(x, dtype=torch.float32) for x in train_set]
    labels = {
        "train": torch.tensor(codes[kept]),
        "valid": torch.tensor(codes[held_out]),
        "test": torch.tensor(np.searchsorted(names, z)),
    }
    last = [torch.tensor(x, dtype=torch.float32) for x in test]
    parts = ([tensors[i] for i in kept], [tensors[i] for i in held_out], last)
    splits = standardized(LabelledSplits("series", *parts, labels=labels, class_names=tuple(map(str, names))))
    trained = []
    for rate in RATES:
        model = build_model(SIZES[method], splits.features, len(names), seed)
        options = TrainingOptions(learning_rate=rate, max_epochs=MAX_EPOCHS, patience=PATIENCE, seed=seed)
        history = train(model, splits, Classes(), options)
        trained.append((history.best.valid["nll"], model))
    best = min(trained, key=lambda one: one[0])[1]
    return 100 * evaluate(best, splits, Classes(), "test").accuracy


def echo_state_accuracy(
    train_set: Sequence[np.ndarray], y: np.ndarray, test: Sequence[np.ndarray], z: np.ndarray, seed: int
) -> float:
    """Accuracy in % of a ridge readout of the last state of a random reservoir."""
    try:
        from reservoirpy.nodes import Reservoir, Ridge
    except ImportError:
        raise SystemExit("ESN needs reservoirpy, which is not installed. Run: pip install reservoirpy") from None
    steps = np.concatenate(train_set)
    mean, scale = steps.mean(0), np.maximum(steps.std(0), 1e-12)
    names, codes = np.unique(y, return_inverse=True)

    def last_states(series: Sequence[np.ndarray]) -> np.ndarray:
        rows = []
        for x in series:
            reservoir.reset()
            rows.append(reservoir.run((x - mean) / scale)[-1])
        return np.stack(rows)

    reservoir = Reservoir(500, sr=0.9, lr=0.1, seed=seed)
    reservoir.initialize(train_set[0])
    readout = Ridge(ridge=1e-6).fit(last_states(train_set), np.eye(len(names))[codes])
    found = readout.run(last_states(test)).argmax(-1)
    return 100 * float((names[found] == z).mean())
