"""`linmem forecast`: continue a numeric series."""

from __future__ import annotations

from pathlib import Path


def forecast(
    run: str,
    *,
    steps: int = 12,
    data: str | None = None,
    split: str = "test",
    series: int = 0,
    coverage: float = 0.9,
    best_by: str = "loss",
    out: str | None = None,
    force: bool = False,
) -> None:
    """Continue a numeric series: a table and a picture of the next values with intervals.

    A single series that was split in time is continued after its last step. Train with `--model estimator` for the
    closed-form forecaster, or with any other model, whose predictions of the next step are fed back.

    Parameters
    ----------
    run : str
        Run directory of `linmem train` on numeric series without labels, or a file of MemoryForecaster.save.
    steps : int
        Steps to forecast.
    data : str
        File, folder or data set with another series of the same channels; by default that of the run.
    split : str
        Split that the series is in, where it was not split in time: train, valid or test.
    series : int
        Index of the series in the split.
    coverage : float
        Probability that the interval holds a value.
    best_by : str
        Weights of the best epoch by loss or by accuracy, on the validation split.
    out : str
        Output folder; by default RUN/forecast.
    force : bool
        Replace earlier output.

    Examples
    --------
    ::

        linmem train airline.csv --model estimator --out runs/airline
        linmem forecast runs/airline --steps 24
    """
    from linmem.cli.counted import counted
    from linmem.reporting import figures
    from linmem.reporting.output import figure, output_paths, require_matplotlib, write_csv
    from linmem.runs import forecast as forecasts

    require_matplotlib()
    source = Path(run)
    result = forecasts.forecast(source, steps, name=data, split=split, index=series, coverage=coverage, best_by=best_by)
    folder = Path(out) if out else (source.parent if source.is_file() else source) / "forecast"
    table, picture = output_paths(folder, ("forecast.csv", "forecast.png"), force)
    header = ["step", *(f"{name}{part}" for name in result.channels for part in ("", "_lower", "_upper"))]
    rows = []
    for step in range(steps):
        cells = zip(result.values[step], result.lower[step], result.upper[step], strict=True)
        numbers = (f"{value:.9g}" if value == value else "" for one in cells for value in one)
        rows.append([str(len(result.known) + step), *numbers])
    write_csv(table, header, rows)
    shown = range(min(len(result.channels), MAX_PANELS))
    with figure(picture, len(shown)) as axes:
        for channel, one in zip(shown, axes, strict=True):
            known, values, lower, upper = (part[:, channel].tolist() for part in result[1:])
            figures.forecast(one, known, values, lower, upper, coverage)
            one.set_title(result.channels[channel], parse_math=False)
    missing = int((result.lower != result.lower).any(1).sum())
    continued = f"{counted(steps, 'step')} of {counted(len(result.channels), 'channel')}"
    print(f"{continued} after step {len(result.known) - 1}: {table}, {picture}")
    if missing:
        print(f"no interval for the last {counted(missing, 'step')}: the validation split is too short")


MAX_PANELS = 4  # channels in the picture
