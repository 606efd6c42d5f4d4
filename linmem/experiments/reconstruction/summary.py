"""Table, figure and targets of the experiment `reconstruction`. Symbol: p memory units."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from linmem.experiments.harness.catalog import Result, Results
from linmem.experiments.harness.summarize import Group, column, group_by, select, spread
from linmem.experiments.harness.targets import Target
from linmem.experiments.reconstruction.experiment import DECODERS, SERIES
from linmem.reporting import tables
from linmem.reporting.output import figure

DIGITS = {"CPU s": 1, "bound, train": 4, "all pasts, train": 4, "their bound": 4}


def show(results: Results, folder: Path) -> str:
    """Error of every method at every size, with the bounds; a figure of the error on test, one panel per set."""
    groups = group_by(results, "set", "units", "method", "epochs")
    rows = [_row(group) for _, group in sorted(groups.items(), key=lambda one: one[0][:2])]
    by_set = group_by(results, "set")
    with figure(folder / "reconstruction.png", len(by_set)) as axes:
        for panel, (name, own) in zip(axes, by_set.items(), strict=True):
            for label, errors in _test_errors(own).items():
                panel.plot(sorted(errors), [errors[p] for p in sorted(errors)], "o-", label=label)
            panel.set(title=name, xlabel="memory units", ylabel="relative error on test", ylim=(0, None))
            panel.legend()
    return tables.markdown(rows, DIGITS, words=("method",))


def targets(results: Results) -> list[Target]:
    """S20: a solved autoencoder reconstructs better than trained ones of its size; here, within the epochs given."""
    found = []
    for name in ("jsb_chorales", SERIES):
        errors = _test_errors(select(results, set=name))
        ours = errors.pop("LAES", {})
        trained = {label: by_size for label, by_size in errors.items() if label not in DECODERS}
        best = {}
        for p in ours:
            at_size = {label: by_size[p] for label, by_size in trained.items() if p in by_size}
            if at_size:
                label = min(at_size, key=at_size.__getitem__)
                best[p] = at_size[label], label
        measured = "; ".join(f"p = {p}: {ours[p]:.3f}, {error:.3f} ({label})" for p, (error, label) in best.items())
        statement = f"{name}: error of the LAES on test below that of every autoencoder trained for the epochs stated"
        reached = all(ours[p] < error for p, (error, _) in best.items()) if best else None
        found.append(Target(statement, "every p", measured or "–", reached))
    return found


def _test_errors(results: Results) -> dict[str, dict[int, float]]:
    """Return the mean error on test by label and memory units."""
    errors: dict[str, dict[int, float]] = {}
    for group in group_by([one for one in results if one["units"]], "method", "epochs", "units").values():
        errors.setdefault(_label(group[0]), {})[group[0]["units"]] = mean(column(group, "test"))
    return errors


def _label(result: Mapping[str, Any]) -> str:
    return f"{result['method']}, {result['epochs']} epochs" if "epochs" in result else str(result["method"])


def _row(group: Group) -> Result:
    first = group[0]
    averages = {
        key: mean(column(group, key)) if key in first else None for key in ("bound", "all_pasts", "all_pasts_bound")
    }
    return {
        "set": first["set"],
        "units": first["units"],
        "method": first["method"],
        "parameters": first["parameters"],
        "train": spread(group, "train", 4),
        "bound, train": averages["bound"],
        "valid": spread(group, "valid", 4),
        "test": spread(group, "test", 4),
        "all pasts, train": averages["all_pasts"],
        "their bound": averages["all_pasts_bound"],
        "best epoch": _best_epoch(group),
        "CPU s": mean(column(group, "cpu_seconds")),
        "seeds": len(group),
    }


def _best_epoch(group: Group) -> str | None:
    if "epochs" not in group[0]:
        return None
    diverged = sum(one.get("diverged", False) for one in group)
    text = f"{mean(column(group, 'best_epoch')):.0f} of {group[0]['epochs']}"
    return text + (f", {diverged} diverged" if diverged else "")
