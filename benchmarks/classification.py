"""Classification of the labelled sets in the wheels of aeon and sktime, official splits, defaults throughout.

MemoryClassifier with solved, random orthogonal and delay-line memories; with --peers also MiniRocket and MultiRocket,
which need equal lengths: shorter series are padded with zeros; with --networks reservoirpy's ESN, an LSTM and an LMN-B
(classification_networks.py). Accuracy in %, mean and standard deviation over seeds, and CPU seconds of fit and predict:
of the first seed, which for the peers includes compilation where a set is the first with its kind of data, and mean
of the later seeds; of LSTM and LMN, with the choice of the rate. The last row sums those of one seed over all sets.

Every result is appended to a file as it is measured; a second call continues there.

    python benchmarks/classification.py [--seeds 5] [--peers] [--networks] [--sets GunPoint] [--out results.jsonl]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from classification_networks import NETWORKS, echo_state_accuracy, network_accuracy
from wheel_series import CLASSIFICATION, labelled

from linmem import MemoryClassifier

MEMORIES = ("solved", "random", "delay")
PEERS = ("MiniRocket", "MultiRocket")
OTHERS = ("ESN", *NETWORKS)


class Result(NamedTuple):
    """One fit and its predictions."""

    set: str
    method: str
    seed: int
    accuracy: float  # %
    seconds: float  # processor time


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


def measure(name: str, method: str, seed: int) -> Result:
    """Fit on the training split and predict the test split."""
    (train, y), (test, z) = labelled(name, "TRAIN"), labelled(name, "TEST")
    build: Callable[[], Any] = lambda: MemoryClassifier(memory=method, random_state=seed)  # noqa: E731
    if method in PEERS:
        longest = max(map(len, train + test))
        train, test = padded(train, longest), padded(test, longest)
        build = lambda: rocket(method, seed)  # noqa: E731
    start = time.process_time()
    if method in NETWORKS:
        accuracy = network_accuracy(method, train, y, test, z, seed)
    elif method == "ESN":
        accuracy = echo_state_accuracy(train, y, test, z, seed)
    else:
        accuracy = 100 * float((build().fit(train, y).predict(test) == z).mean())
    return Result(name, method, seed, accuracy, time.process_time() - start)


def cell(results: Sequence[Result]) -> str:
    """Accuracy and seconds of all seeds of one method on one set."""
    accuracy = [one.accuracy for one in results]
    seconds = [f"{results[0].seconds:.1f}"]
    if len(results) > 1:
        seconds.append(f"{np.mean([one.seconds for one in results[1:]]):.1f}")
    return f"{np.mean(accuracy):.2f} ± {np.std(accuracy):.2f} ({'; '.join(seconds)} s)"


def main() -> None:
    """Print a row per set and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--networks", action="store_true")
    parser.add_argument("--sets", nargs="+", default=CLASSIFICATION)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    methods = MEMORIES + (PEERS if options.peers else ()) + (OTHERS if options.networks else ())
    lines = options.out.read_text().splitlines() if options.out and options.out.exists() else []
    known = {(one.set, one.method, one.seed): one for one in (Result(**json.loads(line)) for line in lines)}
    table: dict[tuple[str, str], list[Result]] = {}
    print("| set | " + " | ".join(methods) + " |\n|" + "---|" * (len(methods) + 1))
    for name in options.sets:
        for method in methods:
            for seed in range(options.seeds):
                one = known.get((name, method, seed))
                if one is None:
                    one = measure(name, method, seed)
                    if options.out:
                        with options.out.open("a") as file:
                            file.write(json.dumps(one._asdict()) + "\n")
                table.setdefault((name, method), []).append(one)
        print(f"| {name} | " + " | ".join(cell(table[name, method]) for method in methods) + " |", flush=True)
    means, totals = [], []
    for method in methods:
        rows = [table[name, method] for name in options.sets]
        means.append(f"{np.mean([[one.accuracy for one in row] for row in rows]):.2f}")
        later = sum(np.mean([one.seconds for one in row[1:] or row]) for row in rows)
        totals.append(f"{sum(row[0].seconds for row in rows):.0f}; {later:.0f} s")
    print("| mean | " + " | ".join(means) + " |\n| seconds | " + " | ".join(totals) + " |")


if __name__ == "__main__":
    main()
