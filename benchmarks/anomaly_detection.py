"""Anomaly detection: MemoryAnomalyDetector against PCA and an isolation forest on windows.

AUC-PR of the score per step, with our defaults and three window lengths for the others. A window's score is spread
evenly over its steps; our score is causal. AUC-PR with slack counts `SLACK` steps around each anomaly as anomalous,
because labels are imprecise at their ends; VUS-PR (range_precision.py) averages over buffers of up to as many steps on
each side.

    python benchmarks/anomaly_detection.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from range_precision import vus_pr
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score
from wheel_series import columns

from linmem import MemoryAnomalyDetector

WINDOWS = (20, 64, 128)
SLACK = 20
FAULTS = ("spike", "level", "frequency", "noise", "flat", "amplitude")


class Problem(NamedTuple):
    """Training series, series to score, and its labels per step."""

    train: np.ndarray  # (T, a)
    series: np.ndarray  # (T', a)
    labels: np.ndarray  # (T',) bool


def injected(seed: int) -> Problem:
    """Two noisy sums of sines with two faults of each kind after step 2,200."""
    rng = np.random.default_rng(seed)
    t = np.arange(6000)
    x = np.stack([np.sin(0.13 * t) + 0.5 * np.sin(0.37 * t + 1), np.cos(0.13 * t) * np.sin(0.021 * t)], 1)
    x, labels = x + 0.1 * rng.standard_normal(x.shape), np.zeros(6000, bool)
    for i, kind in enumerate(FAULTS * 2):
        start, channel = 2200 + 300 * i + rng.integers(100), i % 2
        place = slice(start, start + (1 if kind == "spike" else 40))
        noise, part = rng.standard_normal(place.stop - start), x[place, channel]
        x[place, channel] = {
            "spike": part + 1.5,
            "level": part + 0.6,
            "frequency": np.sin(0.3 * t[place]) + 0.1 * noise,
            "noise": part + 0.4 * noise,
            "flat": part[:1] + 0 * part,
            "amplitude": 1.7 * part,
        }[kind]
        labels[place] = True
    return Problem(x[:2000], x, labels)


def problems() -> dict[str, Problem]:
    """KDD-TSAD 135 with its training part, mitdb fitted to its first 1,500 steps and to itself, and injected faults."""
    folder, stem = "KDD-TSAD_135", "135_UCR_Anomaly_InternalBleeding16"
    kdd, ecg = columns(f"{folder}/{stem}_TEST.csv", 1, 2), columns("mitdb/mitdb.csv", 0, 1)
    return {
        "KDD-TSAD_135": Problem(columns(f"{folder}/{stem}_TRAIN.csv", 1), kdd[:, :1], kdd[:, 1] > 0),
        "mitdb, first 1,500": Problem(ecg[:1500, :1], ecg[:, :1], ecg[:, 1] > 0),
        "mitdb, itself": Problem(ecg[:, :1], ecg[:, :1], ecg[:, 1] > 0),
        **{f"injected, seed {seed}": injected(seed) for seed in (3, 4, 5)},
    }


def ours(lag_decay: float) -> Callable[[Problem], np.ndarray]:
    """Scores of the detector."""
    return lambda p: MemoryAnomalyDetector(lag_decay=lag_decay).fit(p.train).score_samples(p.series)


def windowed(kind: str, size: int) -> Callable[[Problem], np.ndarray]:
    """Scores of windows of `size` steps, spread over their steps."""

    def rows(x: np.ndarray, problem: Problem) -> np.ndarray:
        z = (x - problem.train.mean(0)) / problem.train.std(0)
        return np.lib.stride_tricks.sliding_window_view(z, size, 0).reshape(len(z) - size + 1, -1)

    def score(problem: Problem) -> np.ndarray:
        train, test = rows(problem.train, problem), rows(problem.series, problem)
        if kind == "PCA":
            pca = PCA(0.9).fit(train)
            window = ((test - pca.inverse_transform(pca.transform(test))) ** 2).sum(1)
        else:
            window = -IsolationForest(random_state=0).fit(train).score_samples(test)
        ones = np.ones(size)
        return np.convolve(window, ones) / np.convolve(np.ones(len(window)), ones)

    return score


def main() -> None:
    """Print AUC-PR, AUC-PR with slack and VUS-PR."""
    methods = {"ours": ours(0.97), "ours, γ = 0.99": ours(0.99)}
    methods |= {f"{kind}, {size}": windowed(kind, size) for kind in ("PCA", "forest") for size in WINDOWS}
    print("| set | anomalous | " + " | ".join(methods) + " |\n|" + "---|" * (len(methods) + 2))
    for name, problem in problems().items():
        wide = np.convolve(problem.labels, np.ones(2 * SLACK + 1), "same") > 0
        cells = []
        for method in methods.values():
            score = method(problem)
            narrow, slack = (average_precision_score(labels, score) for labels in (problem.labels, wide))
            cells.append(f"{narrow:.3f} / {slack:.3f} / {vus_pr(problem.labels, score, 2 * SLACK):.3f}")
        print(f"| {name} | {problem.labels.mean():.4f} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
