"""Pictures: each function draws results onto matplotlib Axes. No files, no training, no global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from linmem.data.midi import LOWEST_NOTE

Axes = Any  # matplotlib.axes.Axes; matplotlib is an extra


def learning_curves(
    axes: Axes, curves: Mapping[str, Sequence[float]], label: str = "validation NLL (nats/frame)"
) -> None:
    """One curve a model, an epoch a point, the best epoch marked; `curves` maps a name to its values by epoch."""
    for name, values in curves.items():
        (line,) = axes.plot(range(1, len(values) + 1), values, label=name)
        best = min(range(len(values)), key=values.__getitem__)
        axes.plot(best + 1, values[best], "o", color=line.get_color())
    lowest = min(min(values) for values in curves.values())
    highest = max(max(values) for values in curves.values())
    axes.set(
        xlabel="epoch", ylabel=label, ylim=(0.98 * lowest, min(highest, 1.35 * lowest))
    )  # the first epochs would hide the rest
    axes.legend()


def error_against_memory(axes: Axes, sizes: Sequence[int], errors: Mapping[str, Sequence[float]]) -> None:
    """Relative reconstruction error against memory units, one curve a method; a method called "bound" is dashed."""
    for name, values in errors.items():
        axes.plot(sizes, values, "k--" if name == "bound" else "o-", label=name)
    axes.set(xlabel="memory units", ylabel="relative reconstruction error", ylim=(0, None))
    axes.legend()


def scree(axes: Axes, singular_values: Sequence[float] | Tensor, chosen: int) -> None:
    """Singular values of the history matrix by rank, the chosen number of memory units marked."""
    axes.plot(range(1, len(singular_values) + 1), singular_values)
    axes.axvline(chosen, color="tab:red", linewidth=1, label=f"{chosen} memory units")
    axes.set(xlabel="direction", ylabel="singular value", yscale="log")
    axes.legend()


def error_by_lag(axes: Axes, errors: Sequence[float] | Tensor) -> None:
    """Relative reconstruction error of the inputs i steps back, against i."""
    axes.plot(range(len(errors)), errors)
    axes.set(xlabel="lag (steps back)", ylabel="relative reconstruction error", ylim=(0, None))


def error_per_step(axes: Axes, errors: Sequence[float] | Tensor, label: str | None = None) -> None:
    """Squared reconstruction error of each step of one sequence, seen from its last state."""
    axes.plot(range(1, len(errors) + 1), errors, label=label)
    axes.set(xlabel="step", ylabel="squared error", ylim=(0, None))


def piano_roll(axes: Axes, roll: Tensor, *, split_at: int | None = None, notes: tuple[int, int] | None = None) -> None:
    """(T, 88) roll of values from 0 to 1 as a picture, time to the right, pitch upwards.

    `split_at` marks the step after which a continuation begins; `notes` are the lowest and highest column to show, by
    default those that sound.
    """
    low, high = notes or compass(roll)
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
    axes.set(xlabel="step", ylabel="MIDI note")


def compass(roll: Tensor) -> tuple[int, int]:
    """Lowest and highest column that sound in a (T, 88) roll; all of them where none does."""
    sounding = roll.abs().sum(0).nonzero().flatten()
    return (int(sounding[0]), int(sounding[-1])) if len(sounding) else (0, roll.shape[1] - 1)


def capacity_by_lag(axes: Axes, curves: Mapping[str, Sequence[float]]) -> None:
    """Squared correlation with the input k steps back, against k; one curve a memory."""
    for name, values in curves.items():
        axes.plot(range(len(values)), values, label=name)
    axes.set(xlabel="lag (steps back)", ylabel="ρ²", ylim=(0, 1.05))
    axes.legend()


def gradient_by_step(axes: Axes, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> None:
    """Norm of a gradient against the step it reaches, on a logarithmic scale; a curve is (steps, norms)."""
    for name, (steps, norms) in curves.items():
        axes.plot(steps, norms, label=name)
    highest = max(max(norms) for _, norms in curves.values())
    axes.set(xlabel="step t", ylabel="norm of the gradient", yscale="log", ylim=(1e-12 * highest, 3 * highest))
    axes.legend()


def accuracy_by_units(axes: Axes, curves: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    """Accuracy in per cent against the number of hidden units; a curve is pairs (units, accuracy)."""
    for name, points in curves.items():
        axes.plot([n for n, _ in points], [accuracy for _, accuracy in points], marker="o", label=name)
    axes.set(xlabel="hidden units", ylabel="frame accuracy on valid, %")
    axes.legend()


def score_against_time(axes: Axes, curves: Sequence[tuple[str, Sequence[float], Sequence[float]]], label: str) -> None:
    """A score against CPU seconds; a curve is (name, seconds, scores), and those of one name have one colour."""
    colours: dict[str, Any] = {}
    for name, seconds, scores in curves:
        (line,) = axes.plot(seconds, scores, label=None if name in colours else name, color=colours.get(name))
        colours[name] = line.get_color()
    ends = sorted(value for _, _, scores in curves for value in scores[len(scores) // 5 :])  # the first epochs would
    margin = 0.05 * (ends[-1] - ends[0]) or 1.0  # hide the rest
    axes.set(xlabel="CPU seconds", ylabel=label, ylim=(ends[0] - margin, ends[-1] + margin))
    axes.legend()
