"""Targets of table 2: L18's order of the models, published likelihoods, persistence, and L19's headline.

The fair protocol has aims of its own: a pretrained LMN-B or solved memories, the better of them on valid, ahead of
every gated network in NLL, ahead of persistence in accuracy, and within a limit on NLL per set.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence

from linmem.experiments.harness.summarize import Group, Results, average, group_by
from linmem.experiments.harness.targets import Target
from linmem.experiments.table2 import published
from linmem.experiments.table2.as_published import SMALL_LMN

LMNS = ("LMN-A", "LMN-B", "pret-LMN-B", "LMN-B, diagonal")
CLOSED_FORM, GATED = ("pret-LMN-B", "solved"), ("LSTM", "GRU")
AIMS = {"jsb_chorales": 8.10, "nottingham": 3.07, "muse_data": 6.97, "piano_midi": 7.38}  # NLL, nats per frame
Rows = Mapping[str, Group]  # results by row


def targets(results: Results, protocols: Mapping[str, Sequence[str]]) -> list[Target]:
    """State the targets of every protocol and of its sets, also of those that were not run.

    That about all sets together is of the first protocol.
    """
    measured = {part: group_by(group, "row") for part, group in group_by(results, "set", "protocol").items()}
    known: dict[tuple[str, str], Rows] = {(name, p): {} for p, sets in protocols.items() for name in sets}
    first = next(iter(protocols))
    parts = measured if measured and not measured.keys() & known.keys() else known | measured
    return [
        *(target for (name, protocol), rows in parts.items() for target in _order(rows, name, protocol)),
        *(target for (name, p), rows in parts.items() if p.startswith("fair") for target in _aims(rows, name, p)),
        _ahead_of_persistence(first, {name: rows for (name, p), rows in parts.items() if p == first}),
        *([] if first.startswith("fair") else [_headline(parts)]),  # fair has no row "a fifth"
    ]


def _order(rows: Rows, name: str, protocol: str) -> list[Target]:
    """L18's order of the models by accuracy, the same by NLL, and the best LMN against the published LSTM."""
    where = f"{name}, {protocol}"
    accuracy = f"{where}: accuracy, %", "pret-LMN-B ≥ LMN-B > LSTM"
    likelihood = f"{where}: NLL", "pret-LMN-B ≤ LMN-B < LSTM"
    if not {"persistence", "LSTM", "LMN-B", "pret-LMN-B"} <= rows.keys():
        return [Target(*accuracy), Target(*likelihood)]
    order = [rows[row] for row in ("pret-LMN-B", "LMN-B", "LSTM")]
    a, n = [_accuracy(group) for group in order], [_nll(group) for group in order]
    found = [
        Target.compare(*accuracy, a, lambda pretrained, lmn, lstm: pretrained >= lmn > lstm),
        Target.compare(*likelihood, n, lambda pretrained, lmn, lstm: pretrained <= lmn < lstm, digits=3),
    ]
    if (known := published.NLL.get(name, {}).get("LSTM")) is not None:
        best = _best_lmn(rows)
        statement = f"{where}: NLL of {best}, the best LMN on valid, below the published LSTM's"
        found.append(Target.compare(statement, f"< {known}", [_nll(rows[best])], lambda nll: nll < known, digits=3))
    return found


def _aims(rows: Rows, name: str, protocol: str) -> list[Target]:
    """State the aims of the fair protocol on one set, for the row of the closed form that is best on valid."""
    best = _best(rows, CLOSED_FORM) if set(CLOSED_FORM) <= rows.keys() else ""
    nll, accuracy = (measure(rows.get(best, [])) for measure in (_nll, _accuracy))
    gated = [_nll(rows.get(row, [])) for row in GATED]
    copied = _accuracy(rows.get("persistence", []))
    ours, limit = f"{name}, {protocol}: {{}} of {' or '.join(CLOSED_FORM)}, the better on valid, ", AIMS.get(name, 0.0)
    below, above, within = (
        (ours.format("NLL") + f"below {' and '.join(GATED)}", "below both"),
        (ours.format("accuracy") + "above persistence, %", "above"),
        (ours.format("NLL") + "within the aim", f"≤ {limit:.2f}"),
    )
    found = [
        Target.compare(*below, [nll, *gated], lambda own, *others: own < min(others), best + " {:.3f}; {:.3f}, {:.3f}"),
        Target.compare(*above, [accuracy, copied], operator.gt, best + " {:.2f}; {:.2f}"),
    ]
    return [*found, Target.compare(*within, [nll], lambda own: own <= limit, best + " {:.3f}")] if limit else found


def _ahead_of_persistence(protocol: str, parts: Mapping[str, Rows]) -> Target:
    """The best LMN on valid against the copy of the last frame, on every set."""
    found, ahead = [], []
    for name, rows in parts.items():
        if "persistence" in rows and any(row in rows for row in LMNS):
            ours, copied = _accuracy(rows[_best_lmn(rows)]), _accuracy(rows["persistence"])
            if ours is not None and copied is not None:
                found.append(f"{name} {ours:.2f}, {copied:.2f}")
                ahead.append(ours > copied)
    reached = False if not all(ahead) else True if len(ahead) == len(parts) else None
    statement = f"{protocol} protocol: accuracy of the best LMN on valid above persistence's, %"
    return Target(statement, f"on {', '.join(parts)}", "; ".join(found) or "–", reached if ahead else None)


def _best_lmn(rows: Rows) -> str:
    return _best(rows, [row for row in LMNS if row in rows])


def _best(rows: Rows, names: Sequence[str]) -> str:
    """Return the row with the lowest NLL on valid."""
    losses = {row: average(rows[row], "valid", "nll") for row in names}
    return min(losses, key=lambda row: losses[row] or math.inf)  # None: it diverged


def _headline(parts: Mapping[tuple[str, str], Rows]) -> Target:
    """State L19's lead of a pretrained LMN-B with at most a fifth of the LSTM's parameters."""
    gains = [gain for rows in parts.values() if (gain := _gain(rows)) is not None]
    return Target(
        "On some set a pretrained LMN-B with at most a fifth of the LSTM's parameters is ahead in accuracy",
        "≥ 3.7 points",
        f"{max(gains):.2f} points at most" if gains else "–",
        max(gains) >= 3.7 if gains else None,
    )


def _gain(rows: Rows) -> float | None:
    """Return the points of accuracy by which the small pretrained LMN-B is ahead of the LSTM."""
    small, lstm = (_accuracy(rows.get(row, [])) for row in (SMALL_LMN, "LSTM"))
    return None if small is None or lstm is None else small - lstm


def _accuracy(group: Group) -> float | None:
    return average(group, "test", "accuracy", scale=100)


def _nll(group: Group) -> float | None:
    return average(group, "test", "nll")
