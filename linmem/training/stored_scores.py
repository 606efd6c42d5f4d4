"""Restore the scores that a history or a summary holds as JSON content."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from linmem.training.joint_metrics import AnnealedFrameScores, JointFrameScores, SampledFrameScores
from linmem.training.metrics import ClassScores, FrameScores, Scores, ValueScores


def scores_from_dict(values: dict[str, Any]) -> Scores:
    """Restore scores from `asdict(scores)`, as a history holds them.

    Raises
    ------
    ValueError
        The names are not those of any scores.
    """
    for kind in (FrameScores, JointFrameScores, SampledFrameScores, AnnealedFrameScores, ClassScores, ValueScores):
        if {f.name for f in fields(kind)} == values.keys():
            return kind(**values)
    raise ValueError(f"metrics must be those of this version, got {', '.join(values) or 'none'}. Train again.")
