"""`linmem encode`: states of a fitted autoencoder as CSV or NPY."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from torch import Tensor

from linmem.autoencoder.autoencoder_file import FILE as AUTOENCODER
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.cli.data_argument import DataArgument
from linmem.cli.signature import Options
from linmem.data import FolderOptions, Standardization


def encode(
    fit: str,
    data: DataArgument,
    files: Annotated[Mapping[str, Any], Options(FolderOptions)],
    *,
    out: str | None = None,
    split: str | None = None,
    every_step: bool = False,
    force: bool = False,
) -> None:
    """Encode sequences with a fitted autoencoder; writes one row per sequence, or per step.

    A CSV file begins with the columns sequence and step; an NPY file is an array (rows, p) without them.
    Files are read with the options of the fit, where no others are given, and standardized with its statistics.
    Of other files than those of the fit, all are encoded, and a column of the CSV file names the file.

    Parameters
    ----------
    fit : str
        Folder that `linmem fit` wrote.
    out : str
        CSV file, or NPY file if it ends in .npy; by default FIT/encoded-SPLIT.csv, or FIT/encoded-NAME.csv for a file
        or folder NAME of other files.
    split : str
        train, valid or test; by default all of other files that no folders divide, else test.
    every_step : bool
        Write the state after every step instead of the last one only.
    force : bool
        Replace the file.

    Examples
    --------
    ::

        linmem encode runs/fit-chorales chorales --split test
    """
    from linmem.cli.counted import counted
    from linmem.data.splits import SPLITS
    from linmem.reporting.output import output_paths

    if split is not None and split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
    path = Path(fit) / AUTOENCODER
    if not path.is_file():
        raise FileNotFoundError(f"fit must be a folder that `linmem fit` wrote, got {fit} without {path.name}.")
    autoencoder = LinearAutoencoder.load(path)
    sequences, titles = _sequences(Path(fit), data, files, split, autoencoder.n_features_in_)
    named = Path(data).resolve().stem if titles else split or "test"
    target = Path(out) if out else Path(fit) / f"encoded-{named}.csv"
    (target,) = output_paths(target.parent, (target.name,), force)
    encoded = [states if every_step else states[-1:] for states in autoencoder.encode(sequences)]
    if target.suffix.lower() == ".npy":
        rows = _write_npy(target, encoded)
    else:
        rows = _write_csv(target, encoded, [0 if every_step else len(x) - 1 for x in sequences], titles)
    sizes = f"{counted(rows, 'state')} of {counted(autoencoder.memory_size_, 'unit')}"
    print(f"{sizes} for {counted(len(sequences), 'sequence')}: {target}")


def _write_csv(target: Path, encoded: Sequence[Tensor], first: Sequence[int], titles: Sequence[str]) -> int:
    """Write one line per state with its sequence and step, which begins at `first`; return the number of lines."""
    from linmem.reporting.output import write_csv

    rows = [
        [str(index), str(step), *titles[index : index + 1], *(f"{value:.9g}" for value in state)]
        for index, (states, start) in enumerate(zip(encoded, first, strict=True))
        for step, state in enumerate(states.tolist(), start)
    ]
    units = (f"memory_{unit}" for unit in range(encoded[0].shape[1]))
    write_csv(target, ["sequence", "step", *(["file"] if titles else []), *units], rows)
    return len(rows)


def _write_npy(target: Path, encoded: Sequence[Tensor]) -> int:
    """Write the states as one array of rows; return their number."""
    import numpy as np
    import torch

    from linmem.storage.atomic import replacing

    rows = torch.cat(list(encoded)).numpy()
    with replacing(target) as partial, partial.open("wb") as file:
        np.save(file, rows)
    return len(rows)


def _sequences(
    fit: Path, name: str, files: Mapping[str, Any], split: str | None, features: int
) -> tuple[list[Tensor], list[str]]:
    """The sequences to encode, standardized as in the fit, and the names of their files where all were read."""
    from linmem import data
    from linmem.data.folder import load_unlabelled

    stored = _read_fit(fit, features)
    options = dict(files) if data.is_set(name) else stored.files | dict(files)  # options of files do not apply to sets
    options |= {"standardize": False} if stored.scale else {}
    path, new = Path(name).expanduser(), None
    if split is None and stored.data is not None and not data.is_set(name) and not _same_file(path, stored.data):
        new = load_unlabelled(path, FolderOptions(**options | {"standardize": False}))
    sequences: list[Tensor] = getattr(new or data.load(name, **options), split or "test")
    scaled = [stored.scale.apply(x) for x in sequences] if stored.scale else sequences
    return scaled, list(new.titles["test"]) if new else []


def _same_file(path: Path, other: str) -> bool:
    return not path.exists() or path.resolve() == Path(other).expanduser().resolve()


class _Fit(NamedTuple):
    """How a fit read its data: their name, the options of files, and statistics; an earlier version kept none."""

    data: str | None
    files: dict[str, Any]
    scale: Standardization | None


def _read_fit(fit: Path, features: int) -> _Fit:
    """Read the configuration of a fit.

    Raises
    ------
    ValueError
        The file is damaged, or lacks an entry.
    """
    from linmem.runs.directory import CONFIG
    from linmem.storage.documents import read_json_object
    from linmem.storage.parsing import parsing

    path, remedy = fit / CONFIG, "Fit again with --force."
    if not path.is_file():
        return _Fit(None, {}, None)
    config = read_json_object(path, remedy, {"data": str, "files": dict, "description": dict})
    with parsing(path, "the configuration of a fit", remedy):
        scale = Standardization.of(config["description"])
        if scale and not scale.mean.shape == scale.scale.shape == (features,):
            raise ValueError(f"statistics of {len(scale.mean)} features instead of {features}")
        return _Fit(config["data"], asdict(FolderOptions(**config["files"])), scale)
