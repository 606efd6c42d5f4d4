"""Tables, figures and targets of the experiment `encoding`. Symbol: p memory units."""

from __future__ import annotations

import operator
from pathlib import Path
from statistics import mean

from linmem.experiments.encoding.models import ROWS
from linmem.experiments.harness.summarize import (
    Group,
    Result,
    Results,
    average,
    averages,
    column,
    draw_curves,
    group_by,
    pivot,
    select,
    spread,
)
from linmem.experiments.harness.targets import Target
from linmem.reporting import tables
from linmem.reporting.tables import mean_std

STRUCTURED = ("generation", "Mackey-Glass, τ = 17", "Mackey-Glass, τ = 30", "jsb_chorales, 16 back", "jsb_chorales")
UNFITTED = ("orthogonal", "delay line", "LMU")
FITTED = ("LAES as solved", "LAES")
SOLVED_ROWS = tuple(label for label, row in ROWS.items() if row.pretrain != "none")
DIGITS = {"loss": 4, "learning rate": 4, "CPU s": 1}


def show(results: Results, folder: Path) -> str:
    """Solved readouts, the difference of the fitted memories, and trained networks; figures of the solved readouts."""
    solved, trained = (select(results, part=part) for part in ("solved", "trained"))
    texts = []
    if solved:
        for path, structured in (("encoding.png", True), ("encoding_unstructured.png", False)):
            _draw([one for one in solved if (one["set"] in STRUCTURED) == structured], folder / path)
        largest = (f"{kind} {max(column(own, 'variants'))}" for kind, own in group_by(solved, "memory").items())
        accuracy, loss = _compare_kinds(solved, "accuracy", 100), _compare_kinds(solved, "loss", 1, 4)
        texts += [
            f"Static memories, solved readouts: score on test, %:\n\n{accuracy}",
            f"Largest number of variants that valid chose from: {', '.join(largest)}.",
            f"The same: loss on test (NLL or MSE):\n\n{loss}",
        ]
        texts += [f"{kind} minus the others, points on test:\n\n{_differences(solved, kind)}" for kind in FITTED]
    if trained:
        rows = [_trained_row(group) for group in group_by(trained, "set", "memory").values()]
        texts.append(
            f"Trained networks, at equal memory units:\n\n{tables.markdown(rows, DIGITS, words=('network', 'variant'))}"
        )
    return "\n\n".join(texts)


def targets(results: Results) -> list[Target]:
    """On structured data: fitted memories against unfitted ones, and solved initialisation against SGD alone."""
    groups = group_by(select(results, part="solved"), "set", "units")
    found = []
    for name in STRUCTURED:
        for kind in FITTED:
            for other in ("orthogonal", "delay line"):
                points = {p: differences(group, kind, other) for (one, p), group in groups.items() if one == name}
                found.append(_target(f"{name}: {kind} ahead of the {other} at equal p, points on test", points))
    trained = select(results, part="trained")
    for name in dict.fromkeys((*STRUCTURED, *group_by(trained, "set"))):
        rows = group_by(select(trained, set=name), "memory")
        losses = {row: average(rows.get(row, []), "valid", "loss") for row in SOLVED_ROWS}
        ours = {row: loss for row, loss in losses.items() if loss is not None}
        statement, expected = f"{name}: best LMN with a solved memory ahead of LMN, SGD alone, on test", "score above"
        if not ours or "LMN, SGD alone" not in rows:
            found += [Target(statement, expected)] * any(name == one["set"] for one in trained)
            continue
        best = min(ours, key=ours.__getitem__)  # chosen on valid
        scores = [average(rows[row], "test", "accuracy", scale=100) for row in (best, "LMN, SGD alone")]
        found.append(Target.compare(statement, expected, scores, operator.gt, f"{{:.2f}} ({best}), {{:.2f}}"))
    return found


def differences(results: Results, kind: str, other: str) -> list[float]:
    """Return the points by which `kind` is ahead of `other`, one per seed; a memory without a seed counts for all."""
    a, b = (
        {one["seed"]: 100 * one["test"]["accuracy"] for one in select(results, memory=name)} for name in (kind, other)
    )
    return [a.get(s, a[min(a)]) - b.get(s, b[min(b)]) for s in sorted(set(a) | set(b))] if a and b else []


def _target(statement: str, points_by_size: dict[int, list[float]]) -> Target:
    points_by_size = {p: points for p, points in points_by_size.items() if points}
    points = [point for own in points_by_size.values() for point in own]
    if not points:
        return Target(statement, "every seed, every p")
    means = ", ".join(f"{mean(own):+.2f} at p = {p}" for p, own in points_by_size.items())
    ahead = sum(point > 0 for point in points)
    return Target(statement, "every seed, every p", f"{ahead} of {len(points)}; {means}", ahead == len(points))


def _compare_kinds(solved: Results, metric: str, scale: float, digits: int = 2) -> str:
    headers = {"set": "set", "units": "units"}
    return tables.markdown(
        pivot(solved, headers, "memory", lambda own: spread(own, "test", metric, scale=scale, digits=digits))
    )


def _differences(solved: Results, kind: str) -> str:
    rows = []
    for (name, p), group in group_by(solved, "set", "units").items():
        row: Result = {"set": name, "units": p}
        row |= {f"minus {other}": mean_std(differences(group, kind, other)) for other in UNFITTED}
        variants = dict.fromkeys(one["variant"] for one in select(group, memory=kind))
        rows.append(row | {"variant": "; ".join(variants) or None})
    return tables.markdown(rows, words=("variant",))


def _trained_row(group: Group) -> Result:
    first = group[0]
    return {
        "set": first["set"],
        "network": first["memory"],
        "units": first["units"],
        "parameters": first["parameters"],
        "learning rate": first["learning_rate"],
        "test, %": spread(group, "test", "accuracy", scale=100),
        "loss": average(group, "test", "loss"),
        "best epoch": round(average(group, "best_epoch") or 0),
        "epochs": round(average(group, "epochs") or 0),
        "pretraining": round(average(group, "pretraining_epochs") or 0) or None,
        "variant": "; ".join(dict.fromkeys(one["variant"] for one in group if one["variant"])) or None,
        "diverged": sum(one.get("diverged", False) for one in group),
        "CPU s": average(group, "cpu_seconds"),
        "seeds": len(group),
    }


def _draw(solved: Results, path: Path) -> None:
    panels = {
        name: {k: averages(at, "units", "test", "accuracy", scale=100) for k, at in group_by(own, "memory").items()}
        for name, own in group_by(solved, "set").items()
    }
    draw_curves(path, panels, "test, %", dashed=("LAES as solved",), width=3.5)
