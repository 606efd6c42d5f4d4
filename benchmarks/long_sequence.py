"""One long sequence through memories that read only the input: a loop over steps against products over many steps.

CPU milliseconds of one thread, medians, without gradients: T = 10,000, p = 250, B = 1, float32. `LMN` is a linear
layer filled from an autoencoder (W_mh = 0, f = p); `solved` one solved memory, its features [x_t, y_t / s] included.

    python benchmarks/long_sequence.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from unittest import mock

import torch

from linmem.nn.lmn import LMN
from linmem.nn.solved_memory import SolvedMemory
from linmem.reporting import tables

STEPS, UNITS, ROUNDS = 10_000, 250, 15


def median(run: Callable[[], object]) -> float:
    """Milliseconds of CPU time."""
    times = []
    for _ in range(ROUNDS + 1):
        start = time.process_time()
        run()
        times.append(1e3 * (time.process_time() - start))
    return statistics.median(times[1:])


@torch.no_grad()
def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    rows = []
    for features in (1, 8, 88):
        x = torch.randn(STEPS, 1, features)
        lmn = LMN(features, UNITS, UNITS, nonlinearity="identity")
        lmn.weight_mh_l0.zero_()
        assert lmn.backend_for(x).backend == "parallel"
        chunks = median(lambda lmn=lmn, x=x: lmn(x))  # type: ignore[misc]
        lmn.backend = "fused"
        loop = median(lambda lmn=lmn, x=x: lmn(x))  # type: ignore[misc]
        rows.append({"memory": "LMN", "a": features, "loop": loop, "chunks": chunks, "ratio": loop / chunks})
        memory = SolvedMemory(features, UNITS)
        memory.set_memory(0, torch.randn(UNITS, features), 0.9 * torch.eye(UNITS), torch.zeros(features))
        batch = x.transpose(0, 1)
        chunks = median(lambda memory=memory, batch=batch: memory(batch))  # type: ignore[misc]
        with mock.patch("linmem.nn.solved_memory.is_preferred", return_value=False):
            loop = median(lambda memory=memory, batch=batch: memory(batch))  # type: ignore[misc]
        rows.append({"memory": "solved", "a": features, "loop": loop, "chunks": chunks, "ratio": loop / chunks})
    print(f"torch {torch.__version__}, one thread, medians of {ROUNDS}\n")
    print(tables.markdown(rows, {"a": 0, "loop": 0, "chunks": 0, "ratio": 2}))


if __name__ == "__main__":
    main()
