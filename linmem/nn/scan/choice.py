"""Which engine runs a time loop, found by a race.

The first batch of each size is run with every engine that can, and the answer is kept for the process. NumPy is taken
for the loop, and oneDNN for the products outside it, unless another is clearly faster, so that the choice, and with it
the last bit of a result, does not hang on a busy machine. ``LINMEM_ENGINE=numpy`` (``torch``, ``onednn``, ``native``)
in the environment, ``torch.use_deterministic_algorithms(True)``, which means NumPy, and :func:`settled` settle it
without a race.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from linmem.nn.scan.engine import Engine, NumpyEngine, OneDnnEngine, blas_threads
from linmem.nn.scan.native import NativeEngine

OTHERS_MUST_WIN_BY = 1.15
ROWS_OF_A_TRIAL = 512
STEPS_OF_A_TRIAL, STEPS_ON_THREADS = 6, 30  # threads are started once for a chunk of steps, so more of them count
ROUNDS = 6
_OUTSIDE = {"native": "numpy"}  # it runs loops alone
LARGE_PRODUCT = 2**20  # multiplications, from which oneDNN led without a race; below four rows it never did

ENGINES: dict[str, Engine] = {
    engine.name: engine for engine in (NumpyEngine(), Engine(), OneDnnEngine(), NativeEngine())
}


class Choice(NamedTuple):
    """Who runs the loop, and who the products outside it."""

    loop: Engine
    product: Engine


def choose(rows: int, width: int, total: int, deep: bool, dtype: torch.dtype, device: torch.device) -> Choice:
    """The fastest engines for a loop of products (rows, width) x (width, width), `total` rows in all.

    `deep` says whether there are several functional layers. Measured once for each size, rows rounded up to a power
    of two; see the head of this file.
    """
    return _choice("loop", rows, width, width, total, deep, dtype, device)


def choose_for_steps(
    rows: int, inputs: int, outputs: int, total: int, dtype: torch.dtype, device: torch.device
) -> Choice:
    """The same for a loop that calls ``engine.linear`` itself, (rows, inputs) x (inputs, outputs) a step."""
    return _choice("linear", rows, inputs, outputs, total, True, dtype, device)


def _choice(
    kind: str, rows: int, inputs: int, outputs: int, total: int, deep: bool, dtype: torch.dtype, device: torch.device
) -> Choice:
    wished = os.environ.get("LINMEM_ENGINE") or ("numpy" if torch.are_deterministic_algorithms_enabled() else None)
    if wished is not None and wished not in ENGINES:
        raise ValueError(f"LINMEM_ENGINE is {wished!r}, but it must be one of {', '.join(map(repr, ENGINES))}")
    able = tuple(name for name, engine in ENGINES.items() if engine.knows(dtype, device, deep))
    if wished in able:
        return Choice(ENGINES[wished], ENGINES[_OUTSIDE.get(wished, wished)])
    if len(able) == 1 or device.type != "cpu":
        return Choice(ENGINES["torch"], ENGINES["torch"])
    if _settled.get():
        large = "onednn" if rows >= 4 and rows * inputs * outputs >= LARGE_PRODUCT else "numpy"
        return Choice(_first(able, "native", large), _first(able, "onednn"))
    threads = torch.get_num_threads()
    others = tuple(sorted((name for name in able if name != "native"), key=("onednn", "numpy", "torch").index))
    many = min(_rounded(total), ROWS_OF_A_TRIAL)
    return Choice(
        ENGINES[_race(kind, able, _rounded(rows), inputs, outputs, dtype, threads)],
        ENGINES[_race("product", others, many, outputs, outputs, dtype, threads)],
    )


@contextmanager
def settled() -> Iterator[None]:
    """No races inside, so the same seed gives the same bits in every process: an order that suits most machines."""
    token = _settled.set(True)
    try:
        yield
    finally:
        _settled.reset(token)


_settled: ContextVar[bool] = ContextVar("settled", default=False)


def _first(able: tuple[str, ...], *wished: str) -> Engine:
    return ENGINES[next((name for name in wished if name in able), "numpy")]


def _rounded(count: int) -> int:
    return 1 << (count - 1).bit_length()


@cache
def _race(
    kind: str, names: tuple[str, ...], rows: int, inputs: int, outputs: int, dtype: torch.dtype, threads: int
) -> str:
    """Run all in turn and compare the best times; milliseconds."""
    z, weight, space = (torch.ones(n, m, dtype=dtype) for n, m in ((rows, inputs), (outputs, inputs), (rows, outputs)))
    best = dict.fromkeys(names, float("inf"))
    clock = time.thread_time if threads == 1 else time.perf_counter  # the first leaves out what others do meanwhile
    with torch.no_grad(), blas_threads():
        runs = {name: _trial(ENGINES[name], kind, z, weight, space) for name in names}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                start = clock()
                run()
                best[name] = min(best[name], clock() - start)
    first, *others = names
    winner = min(others, key=best.__getitem__)
    return winner if best[winner] * OTHERS_MUST_WIN_BY < best[first] else first


def _trial(engine: Engine, kind: str, z: Tensor, weight: Tensor, space: Tensor) -> Callable[[], object]:
    if kind == "product":
        return lambda: engine.product(z.t(), space)
    linear, rows, width = engine.linear(weight, None, z.shape[0]), z.shape[0], weight.shape[0]
    steps = STEPS_OF_A_TRIAL if torch.get_num_threads() == 1 else STEPS_ON_THREADS
    if kind == "linear":
        left, right = engine.array(z), engine.array(space)
        return lambda: [linear(left, right) for _ in range(steps)]
    f = width // 2
    projected, blocks = z.new_zeros(steps * rows, f), z.new_zeros((steps + 1) * rows, width)
    return lambda: engine.forward("tanh", [rows] * steps, projected, blocks, linear, width - f)
