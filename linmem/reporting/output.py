"""Output files of a command: their paths, tables with their numbers, and figures drawn without a display."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

from linmem.reporting.style import STYLE
from linmem.storage.atomic import replacing, require_no_dangling_link, write_json, write_text

UNFINISHED = ".unfinished"


def output_paths(folder: Path, names: Sequence[str], force: bool) -> list[Path]:
    """Return the paths of `names` in `folder` and create the folder; raises FileExistsError like `check_free`.

    Parameters
    ----------
    folder : Path
        The output folder.
    names : sequence of str
        File names inside it.
    force : bool
        Whether files that exist may be replaced.

    Returns
    -------
    list of Path
        One path per name, in the same order.
    """
    check_free(folder, names, force)
    folder.mkdir(parents=True, exist_ok=True)
    return [folder / name for name in names]


def check_free(folder: Path, names: Sequence[str], force: bool) -> None:
    """Raise FileExistsError if `folder` holds one of `names` and `force` is false, or is a file; nothing is written.

    Files of a command that was killed while it wrote them do not count: see `unfinished`.
    """
    paths = [folder / name for name in names]
    for path in (folder, *paths):
        require_no_dangling_link(path)
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"out must be in a folder, got {folder}, which is a file. Use another path (--out).")
    if taken := next((path for path in paths if path.is_dir()), None):
        raise FileExistsError(f"out must not be a folder, got {taken}. Use the path of a file in it (--out).")
    if not force and (existing := _complete(folder, names)):
        raise FileExistsError(
            f"out must not hold earlier output, got {folder / existing[0]}. Use another folder (--out) or replace it "
            "(--force)."
        )


def _complete(folder: Path, names: Sequence[str]) -> list[str]:
    """Return the names of files that exist and that no killed command left incomplete."""
    mark = folder / UNFINISHED
    incomplete = mark.read_text(encoding="utf-8", errors="replace").split("\n") if mark.is_file() else []
    return [name for name in names if name not in incomplete and (folder / name).exists()]


@contextmanager
def unfinished(folder: Path, names: Sequence[str], force: bool) -> Iterator[None]:
    """Mark new files among `names` as incomplete until the end of the block; a killed command can then run again.

    The mark is a file in `folder`; it stays if the process is killed or an error ends the block. Files that were
    complete before, which `force` replaces, are not marked: they need `force` again. Raises like `check_free` before it
    writes the mark.
    """
    check_free(folder, names, force)
    complete = _complete(folder, names)
    write_text(folder / UNFINISHED, "\n".join(name for name in names if name not in complete))
    yield
    (folder / UNFINISHED).unlink(missing_ok=True)


def table_names(name: str) -> tuple[str, str]:
    """Return the file names that `write_table` writes."""
    return f"{name}.md", f"{name}.json"


def write_table(folder: Path, name: str, text: str, numbers: Any, force: bool = False) -> None:
    """Write a table as `NAME.md` and the numbers behind it as `NAME.json`.

    Raises
    ------
    FileExistsError
        One of the files exists and `force` is false.
    """
    table, content = output_paths(folder, table_names(name), force)
    write_text(table, text + "\n")
    write_json(content, numbers)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as a CSV file; names that hold commas or quotes are quoted."""
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)
    write_text(path, text.getvalue())


def require_matplotlib() -> None:
    """Check that figures can be drawn; commands that draw call it before they compute.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    try:
        import_module("matplotlib")
    except ImportError:
        raise ImportError(
            "matplotlib must be installed for figures, got none. Run pip install 'linear-memory-networks[plots]'."
        ) from None


@contextmanager
def figure(path: Path, panels: int, width: float = 6.0, height: float = 4.0) -> Iterator[list[Any]]:
    """Yield matplotlib axes side by side and save them to `path` at the end of the block.

    The file's metadata describe the figure in words, for readers who cannot see it.

    Parameters
    ----------
    path : Path
        The image file; the suffix selects the format.
    panels : int
        Number of axes.
    width, height : float
        Size of one panel in inches.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        drawing = Figure(figsize=(width * panels, height), layout="constrained")
        FigureCanvasAgg(drawing)
        axes = [drawing.add_subplot(1, panels, i + 1) for i in range(panels)]
        yield axes
        with replacing(path) as partial:
            drawing.savefig(
                partial,
                dpi=150,
                format=path.suffix.removeprefix(".") or "png",
                metadata={"Description": ". ".join(map(describe, axes))},
            )


def describe(axes: Any) -> str:
    """Describe a plot in words: its title, its axes, and the first and last value of each curve."""
    plotted = f"{axes.get_ylabel() or 'values'} against {axes.get_xlabel() or 'index'}"
    curves = {str(line.get_label()): list(line.get_ydata(orig=False)) for line in axes.get_lines()}
    ranges = {
        name: f"{name} from {y[0]:.3g} to {y[-1]:.3g}" for name, y in curves.items() if name[:1] != "_" and len(y) > 1
    }
    legend = [ranges.get(str(name), str(name)) for name in axes.get_legend_handles_labels()[1]]
    return ": ".join(part for part in (axes.get_title(), plotted, "; ".join(legend)) if part)
