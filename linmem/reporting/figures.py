"""Plots: each function draws results onto matplotlib axes. None writes files, trains or changes global state."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from linmem.data.midi import LOWEST_NOTE, NOTES

Axes = Any  # matplotlib.axes.Axes; matplotlib is optional


def learning_curves(
    axes: Axes, curves: Mapping[str, Sequence[float]], label: str = "validation NLL (nats/frame)"
) -> None:
    """Plot one curve per model against the epoch and mark each best epoch; `curves` maps a name to values by epoch."""
    for name, values in curves.items():
        (line,) = axes.plot(range(1, len(values) + 1), values, label=name)
        best = min(range(len(values)), key=values.__getitem__)
        axes.plot(best + 1, values[best], "o", color=line.get_color())
    lowest = min(min(values) for values in curves.values())
    highest = max(max(values) for values in curves.values())
    upper = min(highest, 1.35 * lowest)  # the first epochs would compress all others
    axes.set(xlabel="epoch", ylabel=label, ylim=(0.98 * lowest, upper))
    axes.legend()


def error_against_memory(axes: Axes, sizes: Sequence[int], errors: Mapping[str, Sequence[float]]) -> None:
    """Plot relative reconstruction errors against memory units, one curve per method; "bound" is dashed."""
    for name, values in errors.items():
        axes.plot(sizes, values, "k--" if name == "bound" else "o-", label=name)
    axes.set(xlabel="memory units", ylabel="relative reconstruction error", ylim=(0, None))
    axes.legend()


def scree(axes: Axes, singular_values: Sequence[float] | Tensor, memory_size: int) -> None:
    """Plot the singular values of the history matrix by rank and mark `memory_size`."""
    axes.plot(range(1, len(singular_values) + 1), singular_values)
    axes.axvline(memory_size, color="tab:red", linewidth=1, label=f"{memory_size} memory units")
    axes.set(xlabel="direction", ylabel="singular value", yscale="log")
    axes.legend()


def error_by_lag(axes: Axes, errors: Sequence[float] | Tensor) -> None:
    """Plot the relative reconstruction error of the inputs i steps back against i."""
    axes.plot(range(len(errors)), errors)
    axes.set(xlabel="lag (steps back)", ylabel="relative reconstruction error", ylim=(0, None))


def error_per_step(axes: Axes, errors: Sequence[float] | Tensor, label: str | None = None) -> None:
    """Plot the squared error of each step of one sequence when it is decoded from its last state."""
    axes.plot(range(1, len(errors) + 1), errors, label=label)
    axes.set(xlabel="step", ylabel="squared error", ylim=(0, None))


def forecast(
    axes: Axes,
    known: Sequence[float],
    values: Sequence[float],
    lower: Sequence[float],
    upper: Sequence[float],
    coverage: float = 0.9,
) -> None:
    """Plot the end of a series, its forecast, and the interval around it; one number per step each."""
    start = max(0, len(known) - 6 * len(values) - 20)
    axes.plot(range(start, len(known)), known[start:], color="black", linewidth=1, label="series")
    steps = range(len(known), len(known) + len(values))
    axes.plot(steps, values, color="tab:blue", label="forecast")
    axes.fill_between(steps, lower, upper, color="tab:blue", alpha=0.25, label=f"{100 * coverage:g} % interval")
    axes.set(xlabel="step", ylabel="value")
    axes.legend()


def confusion_matrix(axes: Axes, counts: Any, names: Sequence[str]) -> None:
    """Draw how many sequences of each class (row) were predicted as each class (column); counts (c, c)."""
    shares = counts / counts.sum(1, keepdims=True).clip(min=1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(names))
    axes.set_xticks(places, names, rotation=90 if max(map(len, names)) > 3 else 0, parse_math=False)
    axes.set_yticks(places, names, parse_math=False)
    axes.set(xlabel="predicted class", ylabel="class")
    if len(names) <= MAX_COUNTS:
        for row in places:
            for column in places:
                color = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, int(counts[row, column]), ha="center", va="center", color=color)


MAX_COUNTS = 20  # classes, above which the cells of a confusion matrix have no numbers


def piano_roll(
    axes: Axes,
    roll: Tensor,
    *,
    split_at: int | None = None,
    labels: tuple[str, str] = ("prompt", "continuation"),
    notes: tuple[int, int] | None = None,
) -> None:
    """Draw a piano roll, time to the right and pitch upwards.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    roll : Tensor
        (T, 88), values from 0 to 1; onset columns after the first 88 are not drawn.
    split_at : int, optional
        Number of steps before the continuation; a line marks the boundary, and the parts carry `labels`.
    labels : tuple of str
        Names of the parts before and after the boundary.
    notes : tuple of int, optional
        Lowest and highest column to show; by default the range of the active notes.
    """
    roll = roll[:, :NOTES]
    low, high = notes or pitch_range(roll)
    axes.imshow(
        roll[:, low : high + 1].T.numpy(),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap="Greys",
        vmin=0,
        vmax=1,
        extent=(0.5, len(roll) + 0.5, low + LOWEST_NOTE - 0.5, high + LOWEST_NOTE + 0.5),
    )
    if split_at is not None:
        axes.axvline(split_at + 0.5, color="tab:red", linewidth=1)
        for label, side in zip(labels, ("right", "left"), strict=True):
            offset = (-4 if side == "right" else 4, -4)
            place = (split_at + 0.5, high + LOWEST_NOTE + 0.5)
            axes.annotate(
                label, place, offset, textcoords="offset points", ha=side, va="top", color="tab:red", fontsize="small"
            )
    axes.set(xlabel="step", ylabel="MIDI note")


def pitch_range(roll: Tensor) -> tuple[int, int]:
    """Return the lowest and highest active column of a (T, 88) roll, or all columns if none is active."""
    active = roll.abs().sum(0).nonzero().flatten()
    return (int(active[0]), int(active[-1])) if len(active) else (0, roll.shape[1] - 1)


def capacity_by_lag(axes: Axes, curves: Mapping[str, Sequence[float]]) -> None:
    """Plot the squared correlation with the input k steps back against k, one curve per memory."""
    for name, values in curves.items():
        axes.plot(range(len(values)), values, label=name)
    axes.set(xlabel="lag (steps back)", ylabel="ρ²", ylim=(0, 1.05))
    axes.legend()


def gradient_by_step(axes: Axes, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> None:
    """Plot gradient norms against the step on a logarithmic scale; a curve is (steps, norms)."""
    for name, (steps, norms) in curves.items():
        axes.plot(steps, norms, label=name)
    highest = max(max(norms) for _, norms in curves.values())
    axes.set(xlabel="step t", ylabel="norm of the gradient", yscale="log", ylim=(1e-12 * highest, 3 * highest))
    axes.legend()


def curves(axes: Axes, points: Mapping[str, Mapping[Any, float]], dashed: Collection[str] = ()) -> None:
    """Plot numbers by label and x, one curve per label, with a marker at each; the labels in `dashed` are dashed."""
    for name, values in points.items():
        places = sorted(values)
        axes.plot(places, [values[x] for x in places], "o--" if name in dashed else "o-", label=name)
    if points:
        axes.legend()


def score_against_time(axes: Axes, curves: Sequence[tuple[str, Sequence[float], Sequence[float]]], label: str) -> None:
    """Plot a score against CPU seconds; a curve is (name, seconds, scores), and curves of one name share a colour."""
    colours: dict[str, Any] = {}
    for name, seconds, scores in curves:
        (line,) = axes.plot(seconds, scores, label=None if name in colours else name, color=colours.get(name))
        colours[name] = line.get_color()
    # The first fifth of the epochs is left out of the limits: it would compress all others.
    ends = sorted(value for _, _, scores in curves for value in scores[len(scores) // 5 :])
    margin = 0.05 * (ends[-1] - ends[0]) or 1.0
    axes.set(xlabel="CPU seconds", ylabel=label, ylim=(ends[0] - margin, ends[-1] + margin))
    axes.legend()
