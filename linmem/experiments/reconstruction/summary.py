"""Table, figure and targets of the experiment `reconstruction`. Symbol: p memory units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from linmem.experiments.harness.summarize import (
    Group,
    Result,
    Results,
    average,
    averages,
    draw_curves,
    group_by,
    select,
    spread,
)
from linmem.experiments.harness.targets import Target
from linmem.experiments.reconstruction.experiment import DECODERS, SERIES
from linmem.reporting import tables

DIGITS = {"CPU s": 1, "bound, train": 4, "all pasts, train": 4, "their bound": 4}


def show(results: Results, folder: Path) -> str:
    """Error of every method at every size, with the bounds; a figure of the error on test, one panel per set."""
    results = _labelled(results)
    groups = group_by(results, "set", "units", "method")
    rows = [_row(group) for _, group in sorted(groups.items(), key=lambda one: one[0][:2])]
    panels = {name: _test_errors(own) for name, own in group_by(results, "set").items()}
    draw_curves(folder / "reconstruction.png", panels, "relative error on test")
    return tables.markdown(rows, DIGITS, words=("method", "ended by"))


def targets(results: Results) -> list[Target]:
    """S20: a solved autoencoder reconstructs better than trained ones of its size; here, within the CPU time given."""
    found, results = [], _labelled(results)
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
        statement = f"{name}: error of the LAES on test below that of every trained autoencoder"
        reached = all(ours[p] < error for p, (error, _) in best.items()) if best else None
        found.append(Target(statement, "every p", measured or "–", reached))
    return found


def _labelled(results: Results) -> Group:
    """Return the results, with the number of epochs in the method where it was fixed, without a limit of CPU time."""
    return [{**one, "method": f"{one['method']}, {one['epochs']} epochs"} if _is_fixed(one) else one for one in results]


def _is_fixed(result: Mapping[str, Any]) -> bool:
    return "epochs" in result and "out_of_time" not in result


def _test_errors(results: Results) -> dict[str, dict[int, float]]:
    """Return the mean error on test by label and memory units."""
    groups = group_by([one for one in results if one["units"]], "method")
    return {method: averages(own, "units", "test") for method, own in groups.items()}


def _row(group: Group) -> Result:
    first = group[0]
    return {
        "set": first["set"],
        "units": first["units"],
        "method": first["method"],
        "parameters": first["parameters"],
        "train": spread(group, "train", digits=4),
        "bound, train": average(group, "bound"),
        "valid": spread(group, "valid", digits=4),
        "test": spread(group, "test", digits=4),
        "all pasts, train": average(group, "all_pasts"),
        "their bound": average(group, "all_pasts_bound"),
        "best epoch": _best_epoch(group),
        "ended by": _ends(group),
        "CPU s": average(group, "cpu_seconds"),
        "seeds": len(group),
    }


def _best_epoch(group: Group) -> str | None:
    if "epochs" not in group[0]:
        return None
    return f"{average(group, 'best_epoch'):.0f} of {average(group, 'epochs'):.0f}"


def _ends(group: Group) -> str | None:
    """Return what ended the trainings, and how many."""
    if "epochs" not in group[0]:
        return None
    kinds, otherwise = {"diverged": "divergence", "out_of_time": "CPU time"}, ("patience", "epochs")
    ends = Counter(
        next((text for key, text in kinds.items() if one.get(key)), otherwise[_is_fixed(one)]) for one in group
    )
    return ", ".join(f"{text} ({count})" for text, count in ends.items())
