"""Tables of table 2: one per set and protocol, the published figure beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from linmem.experiments.harness.summarize import Group, Result, Results, average, group_by, spread
from linmem.experiments.table2 import published
from linmem.experiments.table2.as_published import SMALL_LMN
from linmem.reporting import tables


def show(results: Results, folder: Path) -> str:
    """One table per set and protocol; mean ± standard deviation over seeds."""
    return "\n\n".join(
        f"**{name}, {protocol} protocol**\n\n"
        + tables.markdown([_row(row, group) for row, group in group_by(part, "row").items()])
        + _others(name)
        for (name, protocol), part in group_by(results, "set", "protocol").items()
    )


def _others(name: str) -> str:
    known = ", ".join(f"{model} {nll:.2f}" for model, nll in published.OTHERS.get(name, {}).items())
    return f"\n\nPublished NLL of other networks: {known}." if known else ""


def _row(row: str, group: Group) -> Result:
    first, is_model = group[0], row != "persistence"
    name = first["set"] if row != SMALL_LMN else ""
    return {
        "model": row,
        "size": _size(first) if is_model else None,
        "parameters": first.get("parameters"),
        "trials": first.get("trials"),
        "seeds": len(group) if is_model else None,
        "accuracy %": spread(group, "test", "accuracy", scale=100),
        "L18": published.ACCURACY.get(name, {}).get(row),
        "at 0.5": spread(group, "test", "accuracy_at_half", scale=100),
        "its best epoch": spread(group, "test", "accuracy_of_its_best_epoch", scale=100),
        "expected %": spread(group, "test", "expected_accuracy", scale=100),
        "NLL": spread(group, "test", "nll", digits=3),
        "published NLL": published.NLL.get(name, {}).get(row),
        "valid NLL": average(group, "valid", "nll") if is_model else None,
    }


def _size(result: Mapping[str, Any]) -> str:
    model = result["model"]
    return (
        f"{model['hidden_size']}, {model['memory_size']}"
        if "LMN" in result["row"] or result["row"] == "solved"
        else str(model["hidden_size"])
    )
