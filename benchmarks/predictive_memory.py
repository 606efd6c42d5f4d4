"""Predictive memory: solve for the past that predicts the future instead of the past that reconstructs itself.

Rows ξ_t = [x_t, γ x_{t-1}, …] of K lags, futures φ_t = [x_{t+1}, γ x_{t+2}, …] of F frames, G = ΞᵀΞ + λ I, C = Ξᵀ Φ.

    reconstruct   U: first p eigenvectors of G, A = U_0ᵀ, B = γ Uᵀ R U        (linmem.LinearAutoencoder's)
    predict       U = G^{-1/2} P, P: first p left singular vectors of G^{-1/2} C (reduced-rank regression of φ on ξ);
                  A and B by least squares of m_t = Uᵀ ξ_t on [x_t, m_{t-1}]   (subspace identification)

Both memories are then run as m_t = A x_t + B m_{t-1}, and read by ridge regression from [x_t, m_t] with the penalty of
the lowest validation error. Scores, of validation data: mean squared error of the next frame (JSB Chorales, and the
first 200 pieces of Nottingham), of the value 15 steps ahead (Mackey-Glass), the share of wrong classes from the mean
and the last state of a series (JapaneseVowels, every third training series held out). Lower is better.

    python benchmarks/predictive_memory.py
"""

from __future__ import annotations

import argparse
import time
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import RidgeClassifierCV
from threadpoolctl import threadpool_limits
from wheel_series import labelled

from linmem import data
from linmem.reporting import tables

PENALTIES = 10.0 ** np.arange(-4, 5)
RIDGE = 1e-4  # λ relative to the mean of the diagonal of G
AHEAD = 15  # steps, Mackey-Glass

Rows = list[np.ndarray]


class Problem(NamedTuple):
    """Series, (T_i, a) each; targets of every step, or one class per series."""

    name: str
    train: Rows
    valid: Rows
    targets: Rows | None
    valid_targets: Rows | None
    classes: np.ndarray | None = None
    valid_classes: np.ndarray | None = None
    lag_decay: float = 0.8
    sizes: tuple[int, ...] = (50, 100, 200)
    frames: int = 8  # F; p is at most F times the features


class Memory(NamedTuple):
    """m_t = A x_t + B m_{t-1}."""

    A: np.ndarray
    B: np.ndarray


def lagged(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rows [x_t, w_1 x_{t-1}, …], zero before the start, (T, K a)."""
    steps, features = x.shape
    out = np.zeros((steps, len(weights), features))
    for lag, weight in enumerate(weights[:steps]):
        out[lag:, lag] = weight * x[: steps - lag]
    return out.reshape(steps, -1)


def solve(problem: Problem, lags: int, size: int) -> dict[str, Memory]:
    """Both memories of p = `size` units."""
    decay, frames = problem.lag_decay ** np.arange(lags), problem.frames
    pasts = [lagged(x, decay) for x in problem.train]
    G = sum(past.T @ past for past in pasts)
    features = problem.train[0].shape[1]
    C = np.zeros((len(G), frames * features))
    for x, past in zip(problem.train, pasts, strict=True):
        future = lagged(x[::-1], problem.lag_decay ** np.arange(frames))[::-1]  # [x_t, γ x_{t+1}, …]
        C += past[:-1].T @ future[1:]
    values, vectors = np.linalg.eigh(G)
    U = vectors[:, ::-1][:, :size].reshape(lags, features, size)
    shifted = sum(later.T @ earlier for later, earlier in zip(U[1:], U[:-1], strict=True))
    reconstruct = Memory(U[0].T, problem.lag_decay * shifted)
    whitening = vectors / np.sqrt(values.clip(0) + RIDGE * values.mean())
    P = np.linalg.svd(whitening.T @ C, full_matrices=False)[0][:, :size]
    V = whitening @ P
    inputs, outputs = [], []
    for x, past in zip(problem.train, pasts, strict=True):
        m = past @ V
        inputs.append(np.hstack([x, np.vstack([np.zeros((1, size)), m[:-1]])]))
        outputs.append(m)
    X, Y = np.vstack(inputs), np.vstack(outputs)
    solution = np.linalg.solve(X.T @ X + 1e-8 * np.trace(X.T @ X) / X.shape[1] * np.eye(X.shape[1]), X.T @ Y).T
    return {"reconstruct": reconstruct, "predict": Memory(solution[:, :features], solution[:, features:])}


def run(memory: Memory, sequences: Rows) -> Rows:
    """States of all steps."""
    states = []
    for x in sequences:
        m, rows = np.zeros(len(memory.A)), []
        for driven in x @ memory.A.T:
            m = driven + memory.B @ m
            rows.append(m)
        states.append(np.array(rows))
    return states


def score(problem: Problem, memory: Memory) -> float:
    """Validation error of the ridge readout."""
    states, valid = run(memory, problem.train), run(memory, problem.valid)
    if problem.classes is not None:
        pooled, held = (np.array([np.hstack([m.mean(0), m[-1]]) for m in part]) for part in (states, valid))
        scale = pooled.std(0) + 1e-12
        classifier = RidgeClassifierCV(PENALTIES).fit(pooled / scale, problem.classes)
        return float((classifier.predict(held / scale) != problem.valid_classes).mean())
    assert problem.targets is not None
    assert problem.valid_targets is not None
    scale = np.sqrt(np.mean(np.vstack(states) ** 2, 0)) + 1e-12

    def inputs(sequences: Rows, states: Rows, targets: Rows) -> np.ndarray:
        rows = (np.hstack([x, m / scale])[: len(y)] for x, m, y in zip(sequences, states, targets, strict=True))
        return np.vstack([np.hstack([part, np.ones((len(part), 1))]) for part in rows])

    X, Y = inputs(problem.train, states, problem.targets), np.vstack(problem.targets)
    held, expected = inputs(problem.valid, valid, problem.valid_targets), np.vstack(problem.valid_targets)
    gram, cross = X.T @ X, X.T @ Y
    errors = [
        np.mean((held @ np.linalg.solve(gram + penalty * np.eye(len(gram)), cross) - expected) ** 2)
        for penalty in PENALTIES
    ]
    return float(min(errors))


def music(name: str, pieces: int | None = None) -> Problem:
    """Notes that sound in the training set; the target is the next frame."""
    splits = data.load(name)
    train, valid = ([x.double().numpy() for x in part] for part in (splits.train[:pieces], splits.valid[:pieces]))
    active = np.vstack(train).any(0)
    train, valid = ([x[:, active] for x in part] for part in (train, valid))
    return Problem(name, train, valid, [x[1:] for x in train], [x[1:] for x in valid])


def mackey_glass() -> Problem:
    """One series per split, standardized by the training set."""
    splits = data.load("mackey_glass_17")
    train, valid = ([x.double().numpy() for x in part] for part in (splits.train, splits.valid))
    return Problem(
        "mackey_glass",
        train,
        valid,
        [x[AHEAD:] for x in train],
        [x[AHEAD:] for x in valid],
        lag_decay=0.95,
        sizes=(5, 10, 20),
        frames=20,
    )


def vowels() -> Problem:
    """Every third training series is held out."""
    series, labels = labelled("JapaneseVowels", "TRAIN")
    held = np.arange(len(series)) % 3 == 0
    mean = np.vstack(series).mean(0)
    rows = [np.asarray(x) - mean for x in series]
    train, valid = ([x for x, out in zip(rows, held, strict=True) if out == part] for part in (False, True))
    y = np.asarray(labels)
    return Problem("JapaneseVowels", train, valid, None, None, y[~held], y[held], lag_decay=0.8, sizes=(10, 20, 40))


def main() -> None:
    """Print one row per set and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lags", type=int, default=20)
    parser.add_argument("--sets", nargs="+", default=["mackey_glass", "JapaneseVowels", "jsb_chorales", "nottingham"])
    options = parser.parse_args()
    makers = {
        "jsb_chorales": lambda: music("jsb_chorales"),
        "nottingham": lambda: music("nottingham", 200),
        "mackey_glass": mackey_glass,
        "JapaneseVowels": vowels,
    }
    rows, started = [], time.process_time()
    with threadpool_limits(1):
        for name in options.sets:
            problem = makers[name]()
            for size in problem.sizes:
                memories = solve(problem, options.lags, size)
                row: dict[str, object] = {"set": name, "γ": problem.lag_decay, "p": size}
                row |= {kind: score(problem, memory) for kind, memory in memories.items()}
                row["ρ(B), predict"] = float(np.abs(np.linalg.eigvals(memories["predict"].B)).max())
                rows.append(row)
                print(row, flush=True)
    print(f"\n{options.lags} lags, {time.process_time() - started:.0f} s CPU\n")
    print(tables.markdown(rows, {"γ": 2, "p": 0, "reconstruct": 5, "predict": 5, "ρ(B), predict": 3}))


if __name__ == "__main__":
    main()
