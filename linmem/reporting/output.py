"""Where an experiment writes: nothing is overwritten unasked, and figures are drawn without a display."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from linmem.storage.atomic import write_json, write_text


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


def keep(folder: Path, name: str, text: str, numbers: Any, force: bool = False) -> None:
    """Write a table as `NAME.md`, and what it is made of as `NAME.json`.

    Raises
    ------
    FileExistsError
        One of them is there already, and `force` was not given.
    """
    table, content = claim(folder, (f"{name}.md", f"{name}.json"), force)
    write_text(table, text + "\n")
    write_json(content, numbers)


@contextmanager
def figure(path: Path, panels: int, width: float = 6.0, height: float = 4.0) -> Iterator[list[Any]]:
    """Axes of `panels` pictures side by side, saved to `path` at the end of the block; sizes in inches a panel.

    What is to be seen is kept in the file in words, too, for whoever cannot see it.

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
    parts = [drawing.add_subplot(1, panels, i + 1) for i in range(panels)]
    yield parts
    drawing.savefig(path, dpi=150, metadata={"Description": ". ".join(map(described, parts))})


def described(axes: Any) -> str:
    """What a picture shows, in words: its title, what stands against what, and each curve's first and last value."""
    found = f"{axes.get_ylabel() or 'values'} against {axes.get_xlabel() or 'their place'}"
    curves = [(str(line.get_label()), list(line.get_ydata(orig=False))) for line in axes.get_lines()]
    told = {name: f"{name} from {y[0]:.3g} to {y[-1]:.3g}" for name, y in curves if name[:1] != "_" and len(y) > 1}
    named = [told.get(str(name), str(name)) for name in axes.get_legend_handles_labels()[1]]
    return ": ".join(part for part in (axes.get_title(), found, "; ".join(named)) if part)
