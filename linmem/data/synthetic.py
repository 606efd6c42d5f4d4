"""Synthetic sequences, each of which tests one kind of memory; all are pure functions of their sizes and seed.

The paired tasks have inputs and targets; the series are real numbers to predict, store or recall.

Symbols: n sequences, T steps, a inputs, o outputs, S symbols.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot


class Paired(NamedTuple):
    """Inputs and targets, float32, one of each per sequence."""

    inputs: list[Tensor]  # (T, a) each
    targets: list[Tensor]  # (T, o) each, one target per step; (o,) each, one target after the last step


def copy(count: int, *, symbols: int = 8, length: int = 10, blanks: int = 100, seed: int = 0) -> Paired:
    """Generate the copy task: recall random symbols after a delay [Hochreiter & Schmidhuber 1997].

    `length` symbols, `blanks` blanks, a delimiter, then `length` blanks during which the symbols are the targets.

    Parameters
    ----------
    count : int
        Number of sequences, n.
    symbols, length, blanks : int
        S, the number of symbols to recall, and the delay.
    seed : int
        Selects the symbols.

    Returns
    -------
    Paired
        T = 2 · length + blanks + 1. Inputs are one-hot (T, S + 2): symbols, blank, delimiter. Targets are one-hot
        (T, S + 1): a symbol, or blank before the delimiter.

    Examples
    --------
    >>> inputs, targets = copy(1, symbols=2, length=2, blanks=1)
    >>> inputs[0].argmax(1).tolist(), targets[0].argmax(1).tolist()
    ([1, 1, 2, 3, 2, 2], [2, 2, 2, 2, 1, 1])
    """
    return warped_copy(count, symbols=symbols, length=length, blanks=blanks, seed=seed, warp=False)


def warped_copy(
    count: int, *, symbols: int = 8, length: int = 10, blanks: int = 100, seed: int = 0, warp: bool = True
) -> Paired:
    """Generate the warped copy task: the symbols are at random steps among the blanks [Tallec & Ollivier 2018; E21].

    As `copy`, but the symbols are at random steps, in order, among the first `length + blanks`.

    Examples
    --------
    >>> inputs, targets = warped_copy(1, symbols=4, length=3, blanks=6)
    >>> inputs[0].shape, targets[0].shape  # one-hot: the symbols, blank and delimiter
    (torch.Size([13, 6]), torch.Size([13, 5]))
    """
    _check(count=count, symbols=symbols, length=length, blanks=blanks)
    random = np.random.default_rng(seed)
    content = torch.from_numpy(random.integers(symbols, size=(count, length)))
    before = length + blanks
    blank, delimiter = symbols, symbols + 1
    shown = torch.full((count, before + 1 + length), blank)
    places = np.arange(length)[None].repeat(count, 0)
    if warp:
        places = np.sort(np.stack([random.choice(before, length, replace=False) for _ in range(count)]))
    shown.scatter_(1, torch.from_numpy(places), content)
    shown[:, before] = delimiter
    target = torch.full_like(shown, blank)
    target[:, before + 1 :] = content
    return Paired(list(one_hot(shown, symbols + 2).float()), list(one_hot(target, symbols + 1).float()))


def adding(count: int, *, steps: int = 100, seed: int = 0) -> Paired:
    """Generate the adding problem: add two marked numbers [Hochreiter & Schmidhuber 1997].

    Parameters
    ----------
    count : int
        Number of sequences, n.
    steps : int
        T, at least 2.
    seed : int
        Selects numbers and marks.

    Returns
    -------
    Paired
        Inputs (T, 2): numbers uniform in [0, 1], and marks, one in each half of the sequence. Targets (1,): the sum of
        the two marked numbers. The constant prediction 1 has a mean squared error of 1/6.

    Examples
    --------
    >>> inputs, targets = adding(1, steps=20)
    >>> numbers, marks = inputs[0].T
    >>> torch.equal((numbers * marks).sum(), targets[0][0])
    True
    """
    _check(count=count)
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}. Raise steps.")
    random = np.random.default_rng(seed)
    half, rows = steps // 2, np.arange(count)
    numbers, marks = random.random((count, steps)), np.zeros((count, steps))
    places = random.integers(0, half, count), random.integers(half, steps, count)
    for place in places:
        marks[rows, place] = 1
    inputs = torch.from_numpy(np.stack([numbers, marks], -1)).float()
    return Paired(list(inputs), list((inputs[..., 0] * inputs[..., 1]).sum(1, keepdim=True)))


def generation(waveform: Tensor) -> Paired:
    """Generate the task of reproducing a waveform (T, o) from inputs (T, 1) of zeros [Koutník et al. 2014].

    Examples
    --------
    >>> inputs, targets = generation(waveform(50))
    >>> inputs[0].shape, targets[0].shape
    (torch.Size([50, 1]), torch.Size([50, 1]))
    """
    if waveform.dim() != 2 or len(waveform) == 0:
        raise ValueError(f"waveform must have shape (T, o), T ≥ 1, got {tuple(waveform.shape)}. Reshape it.")
    return Paired([waveform.new_zeros(len(waveform), 1)], [waveform])


def waveform(steps: int = 320, *, components: int = 5, longest: float = 80.0, seed: int = 0) -> Tensor:
    """Generate a structured series (T, 1) in [−1, 1]: a sum of sinusoids of random phase, amplitude and period.

    Periods are uniform in the logarithm between 4 steps and `longest`. The rank of its history matrix is at most
    2 · components, so a linear memory of that many units reconstructs it exactly.

    Examples
    --------
    >>> waveform(320).shape
    torch.Size([320, 1])
    """
    _check(steps=steps, components=components)
    random = np.random.default_rng(seed)
    periods = np.exp(random.uniform(math.log(4), math.log(longest), components))
    phases, sizes = random.uniform(0, 2 * math.pi, components), random.uniform(0.5, 1, components)
    values = (sizes * np.sin(2 * math.pi * np.arange(steps)[:, None] / periods + phases)).sum(1)
    return torch.from_numpy(values / sizes.sum()).float()[:, None]


def noise(steps: int, *, seed: int = 0) -> Tensor:
    """Generate a series (T, 1) of independent numbers uniform in [−1, 1], on which memory capacity is defined.

    Examples
    --------
    >>> noise(1000).shape
    torch.Size([1000, 1])
    """
    _check(steps=steps)
    return torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, (steps, 1))).float()


def mackey_glass(steps: int, *, tau: float = 17.0, seed: int = 0, washout: int = 1000, parts: int = 10) -> Tensor:
    """Integrate the Mackey–Glass equation, dx/dt = 0.2 x(t−τ) / (1 + x(t−τ)¹⁰) − 0.1 x(t) [Mackey & Glass 1977].

    Parameters
    ----------
    steps : int
        T, one per time unit, after the washout.
    tau : float
        τ, a multiple of 1/parts; 17 is mildly chaotic, 30 more so.
    seed : int
        Selects the constant value x(t ≤ 0) in 1.2 ± 0.2.
    washout : int
        Time units left out at the start.
    parts : int
        Runge–Kutta steps per time unit. The derivative jumps at t = 0 and at multiples of τ, so the error falls with
        the square of the step; it is 2e-5 after 150 units.

    Returns
    -------
    Tensor
        float32, (T, 1).

    Examples
    --------
    >>> series = mackey_glass(200, tau=17.0, parts=2)
    >>> series.shape, bool((series > 0).all())
    (torch.Size([200, 1]), True)
    """
    _check(steps=steps, parts=parts)
    delay = round(tau * parts)
    if delay < 2 or abs(delay - tau * parts) > 1e-9 or washout < 0:
        raise ValueError(
            f"tau · parts must be a whole number above 1 and washout at least 0, "
            f"got tau={tau}, parts={parts}, washout={washout}. Change tau or parts."
        )
    start = 1.2 + 0.2 * (2 * np.random.default_rng(seed).random() - 1)
    total, dt = (washout + steps) * parts, 1 / parts
    x = np.full(delay + 1 + total, start)  # x[delay + i] is the value at time i / parts

    def feedback(past: float) -> float:
        return 0.2 * past / (1 + past**10)

    for i in range(delay, delay + total):
        old = i - delay
        first, last = feedback(x[old]), feedback(x[old + 1])
        middle = feedback((x[old] + x[old + 1]) / 2)
        a = first - 0.1 * x[i]
        b = middle - 0.1 * (x[i] + dt / 2 * a)
        c = middle - 0.1 * (x[i] + dt / 2 * b)
        d = last - 0.1 * (x[i] + dt * c)
        x[i + 1] = x[i] + dt / 6 * (a + 2 * b + 2 * c + d)
    return torch.from_numpy(x[delay + washout * parts :: parts][:steps].copy()).float()[:, None]


def _check(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}. Raise {name}.")
