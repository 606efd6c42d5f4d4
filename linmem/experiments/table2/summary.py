"""How table 2 is shown: a table a set, the published figure beside ours; and what it was to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from linmem.experiments.harness.targets import Target
from linmem.reporting import tables

# Frame accuracy % on test [L18, table 2; its RNN-RBM is B12's expected accuracy]; NLL in nats a frame [Bai 2018; B12].
_ROWS = ("RNN", "pret-RNN", "LSTM", "RNN-RBM", "LMN-A", "LMN-B", "pret-LMN-B")
PUBLISHED: Mapping[str, Mapping[str, float]] = {
    "jsb_chorales": dict(zip(_ROWS, (31.00, 30.55, 32.64, 33.12, 30.61, 33.98, 34.49), strict=True)),
    "muse_data": dict(zip(_ROWS, (35.02, 35.47, 34.40, 34.02, 33.15, 35.56, 35.66), strict=True)),
    "nottingham": dict(zip(_ROWS, (72.29, 71.70, 72.45, 75.40, 71.16, 72.71, 74.16), strict=True)),
    "piano_midi": dict(zip(_ROWS, (26.52, 27.31, 25.08, 28.92, 26.69, 28.00, 28.79), strict=True)),
}
PUBLISHED_NLL: Mapping[str, Mapping[str, float]] = {
    "jsb_chorales": {"RNN": 8.91, "LSTM": 8.45, "GRU": 8.43, "RNN-RBM": 6.27},
    "nottingham": {"RNN": 4.05, "LSTM": 3.29, "GRU": 3.46, "RNN-RBM": 2.39},
    "piano_midi": {"RNN": 8.37, "RNN-RBM": 7.09},
    "muse_data": {"RNN": 8.13, "RNN-RBM": 6.01},
}
LMNS = ("LMN-A", "LMN-B", "pret-LMN-B")
FIFTH = "pret-LMN-B, a fifth"

Lines = Sequence[Mapping[str, Any]]


def show(lines: Sequence[dict[str, Any]], folder: Path) -> str:
    """One table a set and protocol; mean over seeds, ± their standard deviation where there are several."""
    parts = dict.fromkeys((line["set"], line["protocol"]) for line in lines)
    return "\n\n".join(
        f"**{name}, {protocol} protocol**{_said(_of(lines, name, protocol))}\n\n"
        + tables.markdown([_row(row, found) for row, found in _rows(_of(lines, name, protocol)).items()], {"L2": 7})
        for name, protocol in parts
    )


def _of(lines: Lines, name: str, protocol: str) -> Lines:
    return [line for line in lines if (line["set"], line["protocol"]) == (name, protocol)]


def _rows(lines: Lines) -> dict[str, Lines]:
    return {row: [line for line in lines if line["row"] == row] for row in dict.fromkeys(li["row"] for li in lines)}


def _said(lines: Lines) -> str:
    moved = {line["chosen on"] for line in lines if line.get("chosen on", line["set"]) != line["set"]}
    return f" (settings chosen on valid of {', '.join(moved)})" if moved else ""


def _row(row: str, found: Lines) -> dict[str, Any]:
    first, persistence = found[0], row == "persistence"
    name, published = first["set"], row.removesuffix(", a fifth")
    return {
        "model": row,
        "size": None if persistence else _size(first),
        "parameters": first.get("parameters"),
        "trials": first.get("trials"),
        "seeds": None if persistence else len(found),
        "accuracy %": _spread(found, "accuracy", 100),
        "L18": None if row == FIFTH else PUBLISHED.get(name, {}).get(published),
        "at 0.5": _spread(found, "accuracy_at_half", 100),
        "its best epoch": None if persistence else _spread(found, "accuracy_of_its_best_epoch", 100),
        "expected %": _spread(found, "expected_accuracy", 100),
        "NLL": _spread(found, "nll", 1, 3),
        "published NLL": None if row == FIFTH else PUBLISHED_NLL.get(name, {}).get(published),
        "valid NLL": None if persistence else mean(line["valid"]["nll"] for line in found),
    }


def _size(line: Mapping[str, Any]) -> str:
    model = line["model"]
    return f"{model['hidden_size']}, {model['memory_size']}" if "LMN" in line["row"] else str(model["hidden_size"])


def _spread(found: Lines, name: str, scale: float, digits: int = 2) -> str:
    values = [scale * line["test"][name] for line in found]
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def targets(lines: Lines) -> list[Target]:
    """What is claimed of every set and protocol, those that were not run as well; and of all together."""
    there = dict.fromkeys((line["set"], line["protocol"]) for line in lines)
    known = {(name, protocol): None for protocol in ("plain", "ours") for name in PUBLISHED}
    parts = there if there and not there.keys() & known.keys() else known
    tables_of = {part: _rows(_of(lines, *part)) for part in parts}
    gains = [gain for rows in tables_of.values() if (gain := _gain(rows)) is not None]
    return [
        *(target for (name, protocol), rows in tables_of.items() for target in _targets_of(rows, name, protocol)),
        *(_ahead_everywhere({part: rows for part, rows in tables_of.items() if part[1] == "ours"})),
        Target(
            "somewhere a pretrained LMN-B with at most a fifth of the LSTM's parameters is ahead in accuracy",
            "≥ 3.7 points",
            f"{max(gains):.2f} points at most" if gains else "–",
            max(gains) >= 3.7 if gains else None,
        ),
    ]


def _targets_of(rows: Mapping[str, Lines], name: str, protocol: str) -> list[Target]:
    where = f"{name}, {protocol}"
    claims = (f"{where}: accuracy", "pret-LMN-B ≥ LMN-B > LSTM"), (f"{where}: NLL", "pret-LMN-B ≤ LMN-B < LSTM")
    if not {"persistence", "LSTM", "LMN-B", "pret-LMN-B"} <= rows.keys():
        return [Target(*claim) for claim in claims]
    order = ("pret-LMN-B", "LMN-B", "LSTM")
    a, n = [_accuracy(rows[row]) for row in order], [_nll(rows[row]) for row in order]
    found = [
        Target(*claims[0], _three(a, 2), a[0] >= a[1] > a[2]),
        Target(*claims[1], _three(n, 3), n[0] <= n[1] < n[2]),
    ]
    if (published := PUBLISHED_NLL.get(name, {}).get("LSTM")) is not None:
        best = _best(rows)
        nll = _nll(rows[best])
        found.append(Target(f"{where}: NLL of {best}", f"< {published} (LSTM)", f"{nll:.3f}", nll < published))
    return found


def _ahead_everywhere(tables_of: Mapping[tuple[str, str], Mapping[str, Lines]]) -> list[Target]:
    """Our best LMN, chosen on valid, against the copy of the last frame, set by set."""
    found, ahead = [], []
    for (name, _), rows in tables_of.items():
        if "persistence" in rows and any(row in rows for row in LMNS):
            best, copied = _accuracy(rows[_best(rows)]), _accuracy(rows["persistence"])
            found.append(f"{name} {best:.2f} against {copied:.2f}")
            ahead.append(best > copied)
    reached = False if not all(ahead) else True if len(ahead) == len(tables_of) else None
    claim = "our best LMN is ahead of persistence in accuracy, %"
    return [Target(claim, f"on {', '.join(name for name, _ in tables_of)}", "; ".join(found) or "–", reached)]


def _best(rows: Mapping[str, Lines]) -> str:
    there = [row for row in LMNS if row in rows]
    return min(there, key=lambda row: mean(line["valid"]["nll"] for line in rows[row]))


def _accuracy(lines: Lines) -> float:
    return 100 * mean(line["test"]["accuracy"] for line in lines)


def _nll(lines: Lines) -> float:
    return mean(line["test"]["nll"] for line in lines)


def _three(values: Sequence[float], digits: int) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)


def _gain(rows: Mapping[str, Lines]) -> float | None:
    """Points of accuracy by which the small LMN-B is ahead of the LSTM."""
    if FIFTH not in rows or "LSTM" not in rows:
        return None
    return _accuracy(rows[FIFTH]) - _accuracy(rows["LSTM"])
