"""Regression of one number per series on sets in the wheels of aeon and sktime, official splits, default parameters.

Root mean squared error on test of MemoryRegressor, of the training mean, and with --peers of aeon's MiniRocket and
MultiRocket with ridge regression; mean and standard deviation over seeds.

    python benchmarks/regression.py [--seeds 3] [--peers]
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from classification import PEERS, padded
from wheel_series import labelled

from linmem import MemoryRegressor

SETS = ("CardanoSentiment", "Covid3Month", "Tecator")


def error(name: str, method: str, seed: int) -> float:
    """Fit on the training split; root mean squared error on the test split."""
    (train, y), (test, z) = labelled(name, "TRAIN"), labelled(name, "TEST")
    targets, expected = y.astype(float), z.astype(float)
    predicted: Any = np.full(len(test), targets.mean())
    if method == "MemoryRegressor":
        predicted = MemoryRegressor(random_state=seed).fit(train, targets).predict(test)
    if method in PEERS:
        from aeon.regression import convolution_based

        length = max(map(len, train + test))
        peer = getattr(convolution_based, f"{method}Regressor")(random_state=seed)
        predicted = peer.fit(padded(train, length), targets).predict(padded(test, length))
    return float(np.sqrt(((predicted - expected) ** 2).mean()))


def main() -> None:
    """Print a row per set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--peers", action="store_true")
    options = parser.parse_args()
    methods = ("mean", "MemoryRegressor", *(PEERS if options.peers else ()))
    print("| set | train, test | " + " | ".join(methods) + " |\n|" + "---|" * (len(methods) + 2))
    for name in SETS:
        sizes = ", ".join(str(len(labelled(name, split)[1])) for split in ("TRAIN", "TEST"))
        cells = []
        for method in methods:
            errors = [error(name, method, seed) for seed in range(1 if method == "mean" else options.seeds)]
            cells.append(f"{np.mean(errors):.4g} ± {np.std(errors):.2g}" if len(errors) > 1 else f"{errors[0]:.4g}")
        print(f"| {name} | {sizes} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
