"""Classification of the labelled sets in the wheels of aeon and sktime, official splits, defaults throughout.

MemoryClassifier with solved, random orthogonal and delay-line memories; with --peers also MiniRocket and MultiRocket,
which need equal lengths: shorter series are padded with zeros. Accuracy in %, mean and standard deviation over seeds,
and CPU seconds of fit and predict for the last seed.

    python benchmarks/classification.py [--seeds 5] [--peers] [--sets GunPoint JapaneseVowels]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from wheel_series import CLASSIFICATION, labelled

from linmem import MemoryClassifier

MEMORIES = ("solved", "random", "delay")


def padded(series: Sequence[np.ndarray], length: int) -> np.ndarray:
    """(n, channels, length) with zeros after shorter series."""
    result = np.zeros((len(series), series[0].shape[1], length), np.float32)
    for row, x in zip(result, series, strict=True):
        row[:, : len(x)] = x.T
    return result


def rocket(kind: str, seed: int) -> Any:
    """A classifier of aeon with its default parameters."""
    try:
        from aeon.classification import convolution_based
    except ImportError:
        raise SystemExit("--peers needs aeon, which is not installed. Run: pip install aeon") from None
    return getattr(convolution_based, f"{kind}Classifier")(random_state=seed)


def classifiers(peers: bool) -> dict[str, Callable[[int], Any]]:
    """Builders by name; each takes a seed."""
    found: dict[str, Callable[[int], Any]] = {
        name: lambda seed, name=name: MemoryClassifier(memory=name, random_state=seed) for name in MEMORIES
    }
    for kind in ("MiniRocket", "MultiRocket") if peers else ():
        found[kind] = lambda seed, kind=kind: rocket(kind, seed)
    return found


def main() -> None:
    """Print a row per set and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--sets", nargs="+", default=CLASSIFICATION)
    options = parser.parse_args()
    builders = classifiers(options.peers)
    means: dict[str, list[float]] = {name: [] for name in builders}
    print("| set | " + " | ".join(builders) + " |\n|" + "---|" * (len(builders) + 1))
    for name in options.sets:
        (train, y), (test, z) = labelled(name, "TRAIN"), labelled(name, "TEST")
        longest, cells = max(map(len, train + test)), []
        for kind, build in builders.items():
            ours = kind in MEMORIES
            X, Z = (train, test) if ours else (padded(train, longest), padded(test, longest))
            accuracies, seconds = [], 0.0
            for seed in range(options.seeds):
                start = time.process_time()
                accuracies.append(100 * float((build(seed).fit(X, y).predict(Z) == z).mean()))
                seconds = time.process_time() - start
            means[kind].append(np.mean(accuracies))
            cells.append(f"{np.mean(accuracies):.2f} ± {np.std(accuracies):.2f} ({seconds:.1f} s)")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    print("| mean | " + " | ".join(f"{np.mean(values):.2f}" for values in means.values()) + " |")


if __name__ == "__main__":
    main()
