"""Reconstruction error of the linear autoencoder against the number of memory units, and by lag [L18, figures 4a, 4c].

The bound is the least error of any code of p numbers (Eckart–Young); "tied" is the papers' decoder, "ours" that of the
autoencoder.

Symbols: p memory units, L lags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from sklearn.base import clone
from torch import Tensor
from tqdm import tqdm

from linmem import data
from linmem.autoencoder.autoencoder_file import FILE as AUTOENCODER
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.autoencoder.solvers import Remembered
from linmem.data import FolderOptions
from linmem.reporting import figures, tables
from linmem.reporting.output import check_free, figure, output_paths, unfinished
from linmem.runs.locks import sole_writer
from linmem.storage.atomic import write_json, write_text

SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)  # of the largest memory
COLUMNS = {  # of the table of a curve, with their headings
    "bound": "bound",
    "ours": "ours, train",
    "ratio": "ratio to the bound",
    "tied": "tied, train",
    "ours_valid": "ours, valid",
    "tied_valid": "tied, valid",
}


class Point(NamedTuple):
    """Relative reconstruction errors at one memory size; `bound` is that of the training split."""

    memory_size: int
    bound: float
    tied: float
    ours: float
    tied_valid: float
    ours_valid: float


def curve(
    train: list[Tensor],
    valid: list[Tensor],
    sizes: Sequence[int],
    autoencoder: LinearAutoencoder,
    progress: bool = False,
) -> list[Point]:
    """Fit copies of `autoencoder` at each of `sizes`, with its own decoder and with a tied one."""
    points = []
    solver = Remembered(autoencoder.solver)  # one decomposition, at the largest size, serves all
    for size in tqdm(sorted(sizes, reverse=True), unit="fit", disable=None if progress else True):
        ours, tied = clone(autoencoder), clone(autoencoder).set_params(decoder="tied", refine=None)
        for one in (ours, tied):
            one.set_params(memory_size=size, solver=solver).fit(train)
        points.append(
            Point(
                size,
                ours.optimal_error_,
                tied.training_error_,
                ours.training_error_,
                tied.reconstruction_error(valid),
                ours.reconstruction_error(valid),
            )
        )
    return points[::-1]


def with_ratio(errors: Mapping[str, Any]) -> dict[str, Any]:
    """Add the ratio of `ours` to the bound to the errors of a point; None where the bound is zero up to rounding."""
    return {**errors, "ratio": errors["ours"] / errors["bound"] if errors["bound"] > 1e-12 else None}


def table(points: Sequence[Point]) -> str:
    """Format the points as a Markdown table, one row per memory size."""
    found = [with_ratio(point._asdict()) for point in points]
    rows = [{"memory units": one["memory_size"]} | {head: one[key] for key, head in COLUMNS.items()} for one in found]
    return tables.markdown(rows, dict.fromkeys(rows[0], 4))


def draw(axes: Any, points: Sequence[Point]) -> None:
    """Plot the errors against the memory size."""
    names = {"bound": "bound", "tied, train": "tied", "ours, train": "ours", "ours, valid": "ours_valid"}
    errors = {label: [getattr(point, name) for point in points] for label, name in names.items()}
    figures.error_against_memory(axes, [point.memory_size for point in points], errors)


def per_step(autoencoder: LinearAutoencoder, sequence: Tensor) -> tuple[Tensor, Tensor]:
    """Decode `sequence` (T, a) from its last state; returns the reconstruction (T, a) and each step's squared error."""
    reconstruction = autoencoder.decode(autoencoder.transform([sequence]), len(sequence))[0]
    return reconstruction, (sequence - reconstruction).square().sum(1)


def fit(
    name: str,
    folder: Path,
    autoencoder: LinearAutoencoder,
    files: FolderOptions | None = None,
    *,
    device: str = "cpu",
    force: bool = False,
) -> str:
    """Fit a data set and write model, table and figures to `folder`; returns the table with the sizes and the folder.

    Raises
    ------
    ValueError
        The data set is unknown or damaged, or the memory larger than its rank.
    FileExistsError
        `folder` already holds a fit and `force` is false, or another process writes there.
    """
    names = (
        AUTOENCODER,
        "memory_curve.json",
        "memory_curve.md",
        "memory_curve.png",
        "scree.png",
        "error_by_lag.png",
        "config.json",
    )
    splits = data.load(name, **asdict(files or FolderOptions()))
    train, valid = ([sequence.to(device) for sequence in part] for part in (splits.train, splits.valid))
    check_free(folder, names, force)
    fitted = clone(autoencoder).fit(train)
    sizes = sorted({max(1, round(share * fitted.memory_size_)) for share in SHARES})
    points = curve(train, valid, sizes, autoencoder, progress=True)
    with sole_writer(folder, names), unfinished(folder, names, force):
        weights, numbers, text, curves, values, by_lag, config = output_paths(folder, names, force)
        fitted.save(weights)
        write_json(
            config, {"data": name, "files": asdict(files or FolderOptions()), "description": splits.description()}
        )
        write_json(numbers, [point._asdict() for point in points])
        write_text(text, table(points) + "\n")
        with figure(curves, 1) as axes:
            draw(axes[0], points)
        with figure(values, 1) as axes:
            figures.scree(axes[0], fitted.singular_values_.cpu(), fitted.memory_size_)
        with figure(by_lag, 2) as axes:
            figures.error_by_lag(axes[0], fitted.reconstruction_error(train, per_lag=True).cpu())
            figures.error_per_step(axes[1], per_step(fitted, train[0])[1].cpu())
            axes[1].set_title("first training sequence, decoded from its last state")
    return f"{table(points)}\n\n{splits!r}\nsolver {fitted.solver_}, {fitted.memory_size_} memory units; {folder}"
