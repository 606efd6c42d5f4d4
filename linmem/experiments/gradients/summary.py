"""Tables, figure and targets of the experiment `gradients`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from linmem.experiments.gradients.experiment import thin
from linmem.experiments.harness.summarize import Results, column, group_by, mean_range, select
from linmem.experiments.harness.targets import Target
from linmem.reporting import figures, tables
from linmem.reporting.output import figure

RATIO = "Norm of the gradient at the first step over that at the last but one, log10; mean (range) over seeds"
REACHED = "Steps back from the last until the norm falls below a hundredth"
VANISHED = -300.0  # counts as the logarithm of a norm of zero


def show(results: Results, folder: Path) -> str:
    """What reaches the first step and how far gradients reach, before and during training; a figure of the norms."""
    epochs = sorted({one["epoch"] for one in results})
    texts = []
    for key, caption, digits in (("first_to_last_log10", RATIO, 1), ("reach", REACHED, 0)):
        rows: list[dict[str, Any]] = []
        for name, own in group_by(results, "model").items():
            for state in own[0]["reach"]:
                values = {n: [one[key][state] for one in select(own, epoch=n)] for n in epochs}
                cells = {_after(n): mean_range([v for v in at if v is not None], digits) for n, at in values.items()}
                rows.append({"model": name, "gradient by": state} | cells)
        texts.append(f"{caption}:\n\n{tables.markdown(rows)}")
    rows = []
    for name, own in group_by(results, "model").items():
        row = {"model": name, "parameters": own[0]["parameters"]}
        for head, key, digits in (("ρ(W)", "radius", 3), ("valid %", "valid_accuracy", 1)):
            row |= {f"{head}, {_after(n)}": mean_range(column(select(own, epoch=n), key), digits) for n in epochs}
        rows.append(row)
    texts.append(f"Spectral radius of the recurrent matrix (W_mm of an LMN), and accuracy:\n\n{tables.markdown(rows)}")
    _draw(results, epochs, folder / "gradients.png")
    return "\n\n".join(texts)


def targets(results: Results) -> list[Target]:
    """Whether more of the gradient reaches the first step than in an LSTM, comparing each seed and epoch."""
    found = []
    for name in ("LMN-B, orthogonal", "LMN-B, LAES"):
        ours, lstm = (_first_to_last(results, model) for model in (name, "LSTM"))
        both = ours.keys() & lstm.keys()
        found.append(
            Target(
                f"More of the gradient reaches the first step in {name} than in the LSTM of the same seed and epoch",
                "log10 of first / last above the LSTM's, every seed and epoch",
                f"lowest {min(ours[k] for k in both):.1f}, LSTM's highest {max(lstm[k] for k in both):.1f}"
                if both
                else "–",
                all(ours[k] > lstm[k] for k in both) if both else None,
            )
        )
    return found


def _first_to_last(results: Results, model: str) -> dict[tuple[int, int], float]:
    """Return the logarithm of the ratio by seed and epoch, of the memory or the carried state."""
    ratios = {(one["seed"], one["epoch"]): one["first_to_last_log10"] for one in select(results, model=model)}
    first = {place: next(iter(by_state.values())) for place, by_state in ratios.items()}
    return {place: VANISHED if value is None else value for place, value in first.items()}


def _draw(results: Results, epochs: Sequence[int], path: Path) -> None:
    """Draw the first seed's norms of the memory or carried state, one panel per number of epochs."""
    with figure(path, len(epochs)) as axes:
        for panel, n in zip(axes, epochs, strict=True):
            curves = {}
            for one in select(results, seed=results[0]["seed"], epoch=n):
                state, logs = next(iter(one["norms_log10"].items()))
                norms = [0.0 if value is None else 10**value for value in logs]
                curves[f"{one['model']}: {state}"] = (thin(range(1, one["steps"])), norms)
            figures.gradient_by_step(panel, curves)
            panel.set_title(_after(n))


def _after(epochs: int) -> str:
    return "before training" if epochs == 0 else "after 1 epoch" if epochs == 1 else f"best of {epochs} epochs"
