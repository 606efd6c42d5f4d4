"""Encoding, shown: what the fitted memory is worth beside the others, from the kept lines alone.

Letter: p memory units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from linmem.experiments.harness.targets import Target
from linmem.experiments.static.memories import KINDS
from linmem.reporting import tables
from linmem.reporting.output import figure

STRUCTURED = ("generation", "Mackey-Glass, τ = 17", "Mackey-Glass, τ = 30", "jsb_chorales, 16 back", "jsb_chorales")
OTHERS = ("orthogonal", "delay line", "LMU")
DIGITS = {"loss": 4, "rate": 4, "CPU s": 1}
Line = dict[str, Any]


def show(lines: Sequence[Line], folder: Path) -> str:
    """Solved readouts and how far the fitted memory is ahead; trained networks; a picture of the solved ones."""
    solved, trained = ([line for line in lines if line["part"] == part] for part in ("solved", "trained"))
    texts = []
    if solved:
        for picture, inside in (("encoding.png", True), ("encoding_unstructured.png", False)):
            _draw([line for line in solved if (line["set"] in STRUCTURED) == inside], folder / picture)
        tried = {
            kind: max([line["variants"] for line in solved if line["memory"] == kind], default=0) for kind in KINDS
        }
        chosen = ", ".join(f"{kind} {count}" for kind, count in tried.items())
        texts.append(f"Static memories, solved readouts: test, %:\n\n{_compared(solved, 'accuracy', 100.0)}")
        texts.append(f"Variants from which valid chose, at most: {chosen}.")
        texts.append(f"The same: loss on test (NLL, or MSE):\n\n{_compared(solved, 'loss', 1.0)}")
        texts.append(f"LAES ahead by, in points of test:\n\n{_ahead(solved)}")
    if trained:
        rows = [_row(list(group)) for _, group in groupby(trained, key=lambda line: (line["set"], line["memory"]))]
        texts.append(f"Trained, at equal units:\n\n{tables.markdown(rows, DIGITS, words=('network',))}")
    return "\n\n".join(texts)


def targets(lines: Sequence[Line]) -> list[Target]:
    """On structured data a fitted memory serves better than the unfitted ones of its size, at every p and seed."""
    groups = _groups([line for line in lines if line["part"] == "solved"])
    found = []
    for name in STRUCTURED:
        for other in ("orthogonal", "delay line"):
            at = {
                p: points for (one, p), kinds in groups.items() if one == name and (points := differences(kinds, other))
            }
            points = [point for one in at.values() for point in one]
            said = f"{sum(point > 0 for point in points)} of {len(points)}; " + ", ".join(
                f"{mean(one):+.2f} at p = {p}" for p, one in at.items()
            )
            claim = f"{name}: LAES ahead of the {other} at equal p, in points"
            reached = all(point > 0 for point in points) if points else None
            found.append(Target(claim, "every seed, every p", said if points else "–", reached))
    return found


def _groups(solved: Sequence[Line]) -> dict[tuple[str, int], dict[str, list[Line]]]:
    found: dict[tuple[str, int], dict[str, list[Line]]] = {}
    for line in solved:
        found.setdefault((line["set"], line["units"]), {}).setdefault(line["memory"], []).append(line)
    return found


def _compared(solved: Sequence[Line], metric: str, scale: float) -> str:
    digits = 2 if scale > 1 else 4
    rows = []
    for (name, p), kinds in _groups(solved).items():
        row: Line = {"set": name, "units": p}
        for kind in KINDS:
            row[kind] = _spread([scale * line["test"][metric] for line in kinds.get(kind, [])], digits)
        rows.append(row)
    return tables.markdown(rows)


def _ahead(solved: Sequence[Line]) -> str:
    rows = []
    for (name, p), kinds in _groups(solved).items():
        row: Line = {"set": name, "units": p}
        for kind in OTHERS:
            row[f"of {kind}"] = _spread(differences(kinds, kind), 2)
        chosen = [line["chosen"] for line in kinds.get("LAES", [])]
        rows.append(row | {"LAES chosen": "; ".join(dict.fromkeys(chosen)) or None})
    return tables.markdown(rows, words=("LAES chosen",))


def differences(kinds: Mapping[str, Sequence[Line]], other: str) -> list[float]:
    """Points by which LAES is ahead, a seed each; a memory that is not drawn stands for all seeds."""
    a, b = ({li["seed"]: 100 * li["test"]["accuracy"] for li in kinds.get(kind, ())} for kind in ("LAES", other))
    return [a.get(s, a[min(a)]) - b.get(s, b[min(b)]) for s in sorted(set(a) | set(b))] if a and b else []


def _row(lines: Sequence[Line]) -> Line:
    first, tests = lines[0], [100 * line["test"]["accuracy"] for line in lines]
    return {
        "set": first["set"],
        "network": first["memory"],
        "units": first["units"],
        "parameters": first["parameters"],
        "rate": first["rate"],
        "test, %": _spread(tests, 2),
        "loss": mean(line["test"]["loss"] for line in lines),
        "best epoch": round(mean(line["best epoch"] for line in lines)),
        "of": first["epochs"],
        "diverged": sum(line.get("diverged", False) for line in lines),
        "CPU s": mean(line["cpu seconds"] for line in lines),
        "seeds": len(lines),
    }


def _spread(values: Sequence[float], digits: int) -> str | None:
    """Mean ± standard deviation over seeds."""
    if not values:
        return None
    return f"{mean(values):.{digits}f}" + (f" ± {stdev(values):.{digits}f}" if len(values) > 1 else "")


def _draw(solved: Sequence[Line], path: Path) -> None:
    names = list(dict.fromkeys(line["set"] for line in solved))
    if not names:
        return
    groups = _groups(solved)
    with figure(path, len(names), width=3.5) as axes:
        for panel, name in zip(axes, names, strict=True):
            for kind in KINDS:
                points = [(p, kinds[kind]) for (one, p), kinds in groups.items() if one == name and kind in kinds]
                scores = [mean(100 * line["test"]["accuracy"] for line in lines) for _, lines in points]
                panel.plot([p for p, _ in points], scores, "o--" if kind == "LAES as solved" else "o-", label=kind)
            panel.set(title=name, xlabel="memory units", ylabel="test, %")
        axes[0].legend(fontsize="small")
