"""`linmem evaluate`: metrics of a finished run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path


def evaluate(
    run: str,
    *,
    out: str | None = None,
    split: str = "test",
    best_by: str = "loss",
    device: str = "cpu",
    force: bool = False,
) -> None:
    """Metrics of a finished run on one split, the baseline first; with --out also the confusion matrix of classes.

    Parameters
    ----------
    run : str
        Run directory that `linmem train` wrote.
    out : str
        Folder for the table and its numbers as JSON, and for a picture and a CSV file of the confusion matrix where
        the sequences have classes; by default the metrics are only printed.
    split : str
        train, valid or test.
    best_by : str
        Weights of the best epoch by loss or by accuracy, on the validation split.
    device : str
        cpu, cuda, cuda:1, …
    force : bool
        Replace earlier output.

    Examples
    --------
    ::

        linmem evaluate runs/chorales-lmn-b-seed0 --split test
    """
    from linmem.reporting import output
    from linmem.runs import runner
    from linmem.runs.confusion import has_classes

    if out is not None:
        pictures = confusion_names(split) if has_classes(Path(run)) else ()
        if pictures:
            output.require_matplotlib()
        output.check_free(Path(out), [*output.table_names(f"scores-{split}"), *pictures], force)
    scores = runner.evaluate_run(Path(run), split, best_by, device)
    text = runner.scores_table(scores)
    print(text)
    if out is not None:
        rows = {name: asdict(one) for name, one in scores.items()}
        numbers = {"run": run, "split": split, "best_by": best_by, "scores": rows}
        output.write_table(Path(out), f"scores-{split}", text, numbers, force)
        write_confusion(Path(run), Path(out), split, best_by, force)


def confusion_names(split: str) -> tuple[str, str]:
    """The files of a confusion matrix."""
    return f"confusion-{split}.csv", f"confusion-{split}.png"


def write_confusion(run: Path, folder: Path, split: str, best_by: str, force: bool) -> None:
    """Write the confusion matrix as a table and a picture, if the sequences have classes."""
    from linmem.reporting import figures
    from linmem.reporting.output import figure, output_paths, write_csv
    from linmem.runs.confusion import confusion

    matrix = confusion(run, split, best_by)
    if matrix is None:
        return
    table, picture = output_paths(folder, confusion_names(split), force)
    rows = ([name, *counts] for name, counts in zip(matrix.names, matrix.counts.tolist(), strict=True))
    write_csv(table, ["class", *matrix.names], rows)
    size = min(12.0, max(4.0, 0.5 * len(matrix.names)))
    with figure(picture, 1, size, size) as axes:
        figures.confusion_matrix(axes[0], matrix.counts, matrix.names)
