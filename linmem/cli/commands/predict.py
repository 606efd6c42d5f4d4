"""`linmem predict`: predictions of a trained model as CSV."""

from __future__ import annotations

import sys
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
        Write the prediction after every step instead of the last one only; an estimator of labels or numbers has them
        if it was trained with --streaming.
    force : bool
        Replace the file.

    Examples
    --------
    ::

        linmem predict runs/chorales-lmn-b-seed0 chorales --every_step
    """
    from linmem.cli.counted import counted
    from linmem.reporting.output import output_paths, write_csv
    from linmem.runs import predict as predictions

    columns, values, lengths, classes, files = predictions.predict(
        Path(run), data, split, best_by, every_step=every_step
    )
    named = Path(data).resolve().stem if files else split or "test"
    target = Path(out) if out else Path(run) / f"predictions-{named}.csv"
    (target,) = output_paths(target.parent, (target.name,), force)
    header = ["sequence", "step", *(["file"] if files else []), *columns, *(["predicted"] if classes else [])]
    rows: list[list[object]] = []
    for index, (outputs, length) in enumerate(zip(values, lengths, strict=True)):
        kept = outputs if every_step else outputs[-1:]
        for step, row in enumerate(kept, length - len(kept)):
            predicted = [classes[int(row.argmax())]] if classes else []
            name = [files[index]] if files else []
            rows.append([index, step, *name, *(f"{value:.9g}" for value in row.tolist()), *predicted])
    write_csv(target, header, rows)
    if without := sum(len(outputs) == 0 for outputs in values):
        print(
            f"no predictions for {counted(without, 'sequence')} with too few steps for the model's differences",
            file=sys.stderr,
        )
    predictions_of_outputs = f"{counted(len(rows), 'prediction')} of {counted(len(columns), 'output')}"
    print(f"{predictions_of_outputs} for {counted(len(values) - without, 'sequence')}: {target}")
