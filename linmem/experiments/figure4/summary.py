"""Tables, figures and targets of the experiment `figure4`."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from linmem.analysis import memory_curve
from linmem.experiments.harness.summarize import (
    Group,
    Result,
    Results,
    averages,
    column,
    draw_curves,
    group_by,
    select,
    spread,
)
from linmem.experiments.harness.targets import Target
from linmem.reporting import figures, tables
from linmem.reporting.output import figure
from linmem.reporting.tables import mean_std

SOURCES = ("inputs", "hidden states")


def show(results: Results, folder: Path) -> str:
    """Tables and one figure per part; means over seeds."""
    a, b, c = (select(results, part=part) for part in "abc")
    b.sort(key=operator.itemgetter("memory_size"))
    tables_of_a = {source: _errors_by_size(own) for source, own in group_by(a, "source").items()}
    texts = [f"a, {source}:\n\n{tables.markdown(rows)}" for source, rows in tables_of_a.items()]
    texts += [f"b:\n\n{tables.markdown(rows)}" for rows in [_accuracies_by_size(b)] if rows]
    texts += [f"c:\n\n{tables.markdown([_error_location(own) for own in group_by(c, 'source').values()])}"] if c else []
    with figure(folder / "figure4a.png", len(tables_of_a)) as axes:
        for panel, (source, own) in zip(axes, group_by(a, "source").items(), strict=True):
            memory_curve.draw(panel, _mean_points(own))
            panel.set_title(source)
    accuracies = {
        f"{name.upper()}, {split}": averages(b, "memory_size", f"{name}_{split}_accuracy")
        for split in ("train", "valid")
        for name in ("lmn", "ulm")
    }
    draw_curves(folder / "figure4b.png", {"": accuracies}, "frame accuracy %", dashed=("ULM, train", "ULM, valid"))
    first = [own[0] for own in group_by(c, "source").values()]
    with figure(folder / "figure4c.png", len(first) or 1) as axes:
        for panel, one in zip(axes, first, strict=False):
            figures.error_per_step(panel, one["errors"])
            panel.set(title=f"{one['source']}, {one['memory_size']} units", ylabel="squared error / energy")
    return "\n\n".join(texts)


def _errors_by_size(a: Group) -> list[Result]:
    """Return the rows of a table of part a."""
    return [
        {"memory units": p} | {head: spread(own, key, digits=4) for key, head in memory_curve.COLUMNS.items()}
        for p, own in group_by([memory_curve.with_ratio(one) for one in a], "memory_size").items()
    ]


def _mean_points(a: Group) -> list[memory_curve.Point]:
    return [
        memory_curve.Point(p, *(mean(column(own, key)) for key in memory_curve.Point._fields[1:]))
        for p, own in group_by(a, "memory_size").items()
    ]


def _accuracies_by_size(b: Group) -> list[Result]:
    """Return the rows of the table of part b."""
    return [
        {"memory units": p}
        | {
            f"{name.upper()}, {split} {head}": spread(own, f"{name}_{split}_{metric}")
            for name in ("ulm", "lmn")
            for split in ("train", "valid")
            for head, metric in (("%", "accuracy"), ("NLL", "nll"))
        }
        for p, own in group_by(b, "memory_size").items()
    ]


def _error_location(c: Group) -> Result:
    """Return the row of the table of part c for one source."""
    halves = [share for one in c if (share := _first_half(one)) is not None]
    return {
        "source": c[0]["source"],
        "memory units": c[0]["memory_size"],
        "steps": len(c[0]["errors"]),
        "relative error": mean_std([sum(one["errors"]) for one in c], 4),
        "share in the first half of the steps, %": mean_std(halves),
    }


def _first_half(result: Mapping[str, Any]) -> float | None:
    """Return the share of the error in the first half of the steps, in per cent; None without any error."""
    errors = result["errors"]
    return 100 * sum(errors[: len(errors) // 2]) / sum(errors) if sum(errors) > 0 else None


def targets(results: Results) -> list[Target]:
    """L18's statement about c: the error lies in the first steps; here, most of it in the first half."""
    shares = {source: [_first_half(one) for one in select(results, part="c", source=source)] for source in SOURCES}
    return [
        Target.compare(
            f"{source}: most of the error of a sequence decoded from its last state lies in its first half",
            "above 50 %",
            own,
            lambda *halves: min(halves) > 50,
            ", ".join(["{:.0f} %"] * len(own)),
        )
        for source, own in shares.items()
    ]
