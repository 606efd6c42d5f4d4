"""States beyond the fitted length, and anomalies: two noisy sines of power 1, with and without lag decay.

Prints the weighted error of steps 980 to 1000 relative to that of the last 20 fitted steps (1 means that states mean
the same at ten times the length), and the AUC of `score_samples`, and of a whitened score, for one injected step of 1.0
in 2,000.

    python benchmarks/any_length.py
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from linmem import LinearAutoencoder
from linmem.reporting import tables


def sines(length: int, seed: int) -> np.ndarray:
    """Two sines of random phase with noise, power 1, (length, 1)."""
    random, time = np.random.default_rng(seed), np.arange(length)
    first, second = random.uniform(0, 2 * np.pi, 2)
    wave = (np.sin(0.2 * time + first) + np.sin(0.3 * time + second)) / np.sqrt(2)
    return (wave + 0.05 * random.standard_normal(length))[:, None]


def error_ratio(memory_size: int, decay: float, length: int) -> float:
    """Error of steps 980 to 1000 over that of the last 20 of the `length` fitted steps, mean of 300 sequences."""
    fitted, long = (
        [sines(steps, start + i) for i in range(n)] for steps, start, n in ((length, 0, 100), (1000, 1000, 300))
    )
    scores = np.mean(LinearAutoencoder(memory_size, lag_decay=decay).fit(fitted).score_samples(long), 0)
    return float(scores[980:].mean() / scores[length - 20 : length].mean())


class AnomalyAuc(NamedTuple):
    """AUC of two scores."""

    plain: float  # score_samples
    whitened: float  # plus the states, each unit relative to its mean square on the fitted data


def anomaly_auc(memory_size: int, seed: int) -> AnomalyAuc:
    """AUC of one step raised by 1.0, γ = 0.9."""
    stream, labels = sines(2000, seed), np.zeros(2000, dtype=bool)
    stream[1234] += 1.0
    labels[1234] = True
    fitted = [sines(1000, seed)]
    autoencoder = LinearAutoencoder(memory_size, lag_decay=0.9).fit(fitted)
    before, scores = autoencoder.score_samples(fitted)[0], autoencoder.score_samples([stream])[0]
    usual, states = np.square(autoencoder.encode(fitted)[0]).mean(0), autoencoder.encode([stream])[0]
    whitened = scores / before.mean() + (np.square(states) / usual).sum(1)
    return AnomalyAuc(float(roc_auc_score(labels, scores)), float(roc_auc_score(labels, whitened)))


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)  # that sequences are longer than those of fit
    rows = [
        {"fitted steps": length, "p": p} | {f"γ = {decay}": error_ratio(p, decay, length) for decay in (1.0, 0.9, 0.8)}
        for length in (100, 50)
        for p in (4, 10, 30)
    ]
    print(tables.markdown(rows, dict.fromkeys(("γ = 1.0", "γ = 0.9", "γ = 0.8"), 3)))
    columns = ("least AUC", "greatest AUC", "least AUC, whitened", "greatest AUC, whitened")
    rows = []
    for p in (4, 10, 20):
        plain, whitened = zip(*(anomaly_auc(p, seed) for seed in range(5)), strict=True)
        values = (min(plain), max(plain), min(whitened), max(whitened))
        rows.append({"p": p} | dict(zip(columns, values, strict=True)))
    print("\n" + tables.markdown(rows, dict.fromkeys(columns, 3)))


if __name__ == "__main__":
    main()
