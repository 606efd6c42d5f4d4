"""Where an experiment writes: nothing is overwritten unasked, and figures are drawn without a display."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def claim(folder: Path, names: Sequence[str], force: bool) -> list[Path]:
    """Paths of `names` in `folder`, which is made where it is missing.

    Raises
    ------
    FileExistsError
        One of them is there already, and `force` was not given.
    """
    paths = [folder / name for name in names]
    if not force and (held := [path for path in paths if path.exists()]):
        raise FileExistsError(f"{held[0]} is there already: name another folder (--out), or replace it (--force)")
    folder.mkdir(parents=True, exist_ok=True)
    return paths


@contextmanager
def figure(path: Path, panels: int, width: float = 6.0, height: float = 4.0) -> Iterator[list[Any]]:
    """Axes of `panels` pictures side by side, saved to `path` at the end of the block; sizes in inches a panel.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'linear-memory-networks[plots]'") from None
    drawing = Figure(figsize=(width * panels, height), layout="constrained")
    FigureCanvasAgg(drawing)
    yield [drawing.add_subplot(1, panels, i + 1) for i in range(panels)]
    drawing.savefig(path, dpi=150)
