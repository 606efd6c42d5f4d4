"""Comparison of sampled with real pieces of music: each statistic as mean ± standard deviation over pieces."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev

from linmem.music.statistics import INTERVAL_CLASSES, PieceStatistics
from linmem.reporting import tables


def comparison(real: Sequence[PieceStatistics], sampled: Sequence[PieceStatistics]) -> str:
    """Format real against sampled pieces as a Markdown table.

    Parameters
    ----------
    real, sampled : sequence of PieceStatistics
        Statistics of the pieces, at least one of each.

    Returns
    -------
    str
        Mean ± standard deviation over pieces, and whether the sampled mean is within one standard deviation of the
        real one.

    Examples
    --------
    >>> import linmem
    >>> from linmem.music.statistics import measure
    >>> chorales = linmem.data.load("chorales:4")
    >>> first, second = ([measure(x, []) for x in chorales.test[i : i + 2]] for i in (0, 2))
    >>> print(comparison(first, second).splitlines()[0])
    | measure                                   |         real |      sampled | within one std of real |
    """
    rows = []
    for label, name, scale in _MEASURES:
        ours, theirs = (_values(pieces, name, scale) for pieces in (sampled, real))
        within = None
        if ours and len(theirs) > 1:
            difference = mean(ours) - mean(theirs)
            if name == "copied_steps":  # shorter copies than between real pieces are no fault
                difference = max(difference, 0)
            within = "yes" if abs(difference) <= stdev(theirs) else "no"
        rows.append(
            {
                "measure": label,
                "real": tables.mean_std(theirs),
                "sampled": tables.mean_std(ours),
                "within one std of real": within,
            }
        )
    return tables.markdown(rows)


_MEASURES: tuple[tuple[str, str, float], ...] = (
    ("notes per frame", "notes_per_frame", 1),
    ("pitch range, semitones", "pitch_range", 1),
    *((f"interval class {c}, %", f"interval_classes.{c}", 100) for c in range(INTERVAL_CLASSES)),
    ("held notes, %", "held_share", 100),
    ("voice movement, semitones", "voice_movement", 1),
    ("parallel fifths and octaves per 100 moves", "parallels", 1),
    ("longest copied passage, steps", "copied_steps", 1),
)


def _values(pieces: Sequence[PieceStatistics], name: str, scale: float) -> list[float]:
    attribute, _, index = name.partition(".")
    found = (getattr(piece, attribute) for piece in pieces)
    return [scale * float(value[int(index)] if index else value) for value in found if value is not None]
