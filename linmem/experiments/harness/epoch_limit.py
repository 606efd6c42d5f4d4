"""Which trained networks of an experiment ended at their limit of epochs or CPU time, and may be undertrained.

With early stopping a network ends there if patience did not end it before. Networks that train for a fixed number of
epochs end there if the last epoch is the best one on valid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

NAMES = ("row", "model", "memory", "method")  # of a network in a result


def at_epoch_limit(record: Mapping[str, Any]) -> bool | None:
    """Return whether the network of a record ended at its limit of epochs; None for records of anything else."""
    result, config = record["result"], record.get("config", {})
    if "out_of_time" in result:
        return bool(result["out_of_time"])
    training = result.get("training", config)
    limit = training.get("max_epochs") if isinstance(training, Mapping) else None
    epochs = len(result["nll"]) if isinstance(result.get("nll"), list) else result.get("epochs")
    if epochs is None:
        return None
    if limit is not None:
        return bool(epochs >= limit)
    return result["best_epoch"] >= epochs if "best_epoch" in result else None


def epoch_limit_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Return one sentence with the networks that ended at the limit of epochs; empty without trained networks."""
    flags = [(record["result"], flag) for record in records if (flag := at_epoch_limit(record)) is not None]
    if not flags:
        return ""
    ended = Counter(_label(result) for result, flag in flags if flag)
    listed = "; ".join(f"{label}" + (f" ({count})" if count > 1 else "") for label, count in ended.items())
    return f"Ended at the limit of epochs or CPU time: {ended.total()} of {len(flags)} networks" + (
        f": {listed}." if ended else "."
    )


def _label(result: Mapping[str, Any]) -> str:
    name = next((str(result[key]) for key in NAMES if isinstance(result.get(key), str)), result.get("part", "network"))
    return ", ".join([*(str(result[key]) for key in ("set", "protocol") if key in result), name])
