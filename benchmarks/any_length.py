"""States beyond the fitted length, and anomalies: two noisy sines of power 1, with and without lag decay.

Prints the weighted error of steps 980 to 1000 relative to that of the last 20 fitted steps (1 means that states mean
the same at ten times the length), and the AUC of `score_samples` for one injected step of 1.0 in 2,000.

    python benchmarks/any_length.py
"""

from __future__ import annotations

import warnings

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


def anomaly_auc(memory_size: int, seed: int) -> float:
    """AUC of one step raised by 1.0, γ = 0.9."""
    stream, labels = sines(2000, seed), np.zeros(2000, dtype=bool)
    stream[1234] += 1.0
    labels[1234] = True
    scores = LinearAutoencoder(memory_size, lag_decay=0.9).fit([sines(1000, seed)]).score_samples([stream])
    return float(roc_auc_score(labels, scores[0]))


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
    found = {p: [anomaly_auc(p, seed) for seed in range(5)] for p in (4, 10)}
    rows = [{"p": p, "least AUC": min(values), "greatest AUC": max(values)} for p, values in found.items()]
    print("\n" + tables.markdown(rows, {"least AUC": 3, "greatest AUC": 3}))


if __name__ == "__main__":
    main()
