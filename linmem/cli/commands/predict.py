"""`linmem predict`: predictions of a trained model as CSV."""

from __future__ import annotations

from pathlib import Path

from linmem.cli.data_argument import DataArgument


def predict(
    run: str,
    data: DataArgument,
    *,
    out: str | None = None,
    split: str | None = None,
    best_by: str = "loss",
    every_step: bool = False,
    force: bool = False,
) -> None:
    """Predictions of a trained model as CSV: probabilities of notes or classes, decision values, or numbers.

    The data are read with the options of the run. The last column names the predicted class, where there are classes.
    Of other files than the run's own, all are predicted, and a column names the file.

    Parameters
    ----------
    run : str
        Run directory that `linmem train` wrote.
    out : str
        CSV file; by default RUN/predictions-SPLIT.csv, or RUN/predictions-NAME.csv for a folder NAME of other files.
    split : str
        train, valid or test; by default all of other files that no folders divide, else test.
    best_by : str
        Weights of the best epoch by loss or by accuracy, on the validation split.
    every_step : bool
        Write the prediction after every step instead of the last one only.
    force : bool
        Replace the file.

    Examples
    --------
    ::

        linmem predict runs/chorales-lmn-b-seed0 chorales --every_step
    """
    import csv
    from io import StringIO

    from linmem.reporting.output import output_paths
    from linmem.runs import predict as predictions
    from linmem.storage.atomic import write_text

    columns, values, lengths, classes, files = predictions.predict(Path(run), data, split, best_by)
    named = Path(data).resolve().stem if files else split or "test"
    target = Path(out) if out else Path(run) / f"predictions-{named}.csv"
    (target,) = output_paths(target.parent, (target.name,), force)
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["sequence", "step", *(["file"] if files else []), *columns, *(["predicted"] if classes else [])])
    rows = 0
    for index, (outputs, length) in enumerate(zip(values, lengths, strict=True)):
        kept = outputs if every_step else outputs[-1:]
        for step, row in enumerate(kept, length - len(kept)):
            predicted = [classes[int(row.argmax())]] if classes else []
            name = [files[index]] if files else []
            table.writerow([index, step, *name, *(f"{value:.9g}" for value in row.tolist()), *predicted])
            rows += 1
    write_text(target, text.getvalue())
    print(f"{rows} predictions of {len(columns)} outputs for {len(values)} sequences: {target}")
