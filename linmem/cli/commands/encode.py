"""`linmem encode`: states of a fitted autoencoder as CSV or NPY."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from torch import Tensor

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
    split: str = "test",
    every_step: bool = False,
    force: bool = False,
) -> None:
    """Encode the sequences of a split with a fitted autoencoder; writes one row per sequence, or per step.

    A CSV file begins with the columns sequence and step; an NPY file is an array (rows, p) without them.
    Files are read with the options of the fit, where no others are given, and standardized with its statistics.

    Parameters
    ----------
    fit : str
        Folder that `linmem fit` wrote.
    out : str
        CSV file, or NPY file if it ends in .npy; by default FIT/encoded-SPLIT.csv.
    split : str
        train, valid or test.
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

    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
    path = Path(fit) / "autoencoder.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"fit must be a folder that `linmem fit` wrote, got {fit} without {path.name}.")
    autoencoder = LinearAutoencoder.load(path)
    sequences = _sequences(Path(fit), data, files, split, autoencoder.n_features_in_)
    target = Path(out) if out else Path(fit) / f"encoded-{split}.csv"
    (target,) = output_paths(target.parent, (target.name,), force)
    encoded = [states if every_step else states[-1:] for states in autoencoder.encode(sequences)]
    write = _write_npy if target.suffix.lower() == ".npy" else _write_csv
    rows = write(target, encoded, [0 if every_step else len(x) - 1 for x in sequences])
    print(f"{counted(rows, 'state')} of {counted(autoencoder.memory_size_, 'unit')}: {target}")


def _write_csv(target: Path, encoded: Sequence[Tensor], first: Sequence[int]) -> int:
    """Write one line per state with its sequence and step, which begins at `first`; return the number of lines."""
    from linmem.reporting.output import write_csv

    rows = [
        [str(index), str(step), *(f"{value:.9g}" for value in state)]
        for index, (states, start) in enumerate(zip(encoded, first, strict=True))
        for step, state in enumerate(states.tolist(), start)
    ]
    write_csv(target, ["sequence", "step", *(f"memory_{unit}" for unit in range(encoded[0].shape[1]))], rows)
    return len(rows)


def _write_npy(target: Path, encoded: Sequence[Tensor], first: Sequence[int]) -> int:
    """Write the states as one array of rows; return their number."""
    import numpy as np
    import torch

    from linmem.storage.atomic import replacing

    rows = torch.cat(list(encoded)).numpy()
    with replacing(target) as partial, partial.open("wb") as file:
        np.save(file, rows)
    return len(rows)


def _sequences(fit: Path, name: str, files: Mapping[str, Any], split: str, features: int) -> list[Tensor]:
    """The sequences of a split, standardized as in the fit."""
    from linmem import data

    stored, scale = _options_of_fit(fit, features)
    options = dict(files) if data.is_set(name) else stored | dict(files)  # options of files do not apply to sets
    options |= {"standardize": False} if scale else {}
    sequences: list[Tensor] = getattr(data.load(name, **options), split)
    return [scale.apply(x) for x in sequences] if scale else sequences


def _options_of_fit(fit: Path, features: int) -> tuple[dict[str, Any], Standardization | None]:
    """How the fit read its files, and its statistics; a fit of an earlier version holds neither.

    Raises
    ------
    ValueError
        The file with the options is damaged, or lacks one of them.
    """
    from linmem.runs.directory import CONFIG
    from linmem.storage.documents import read_json_object
    from linmem.storage.parsing import parsing

    path, remedy = fit / CONFIG, "Fit again with --force."
    if not path.is_file():
        return {}, None
    config = read_json_object(path, remedy, {"files": dict, "description": dict})
    with parsing(path, "the configuration of a fit", remedy):
        scale = Standardization.of(config["description"])
        if scale and not scale.mean.shape == scale.scale.shape == (features,):
            raise ValueError(f"statistics of {len(scale.mean)} features instead of {features}")
        return asdict(FolderOptions(**config["files"])), scale
