"""Real labelled series inside the wheels of aeon, sktime and statsmodels, read from the installed packages."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

FOLDERS = {"aeon": "datasets/data", "sktime": "datasets/data", "statsmodels": "datasets"}
CLASSIFICATION = [
    *("ACSF1", "ArrowHead", "BasicMotions", "Covid3Month_disc", "GunPoint", "ItalyPowerDemand", "JapaneseVowels"),
    *("OSULeaf", "PickupGestureWiimoteZ", "PLAID", "UnitTest"),
]


def path(file: str) -> Path:
    """Path of a file in the data folder of the first package that has it."""
    for package, folder in FOLDERS.items():
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            found = Path(spec.origin).parent / folder / file
            if found.exists():
                return found
    raise SystemExit(f"{file} must be in an installed package, got none. Run: pip install aeon sktime statsmodels")


def labelled(name: str, split: str) -> tuple[list[np.ndarray], np.ndarray]:
    """(T_i, channels) series and labels of a .ts file; `split` is "TRAIN" or "TEST"."""
    series, labels, in_data = [], [], False
    for line in path(f"{name.removesuffix('_eq')}/{name}_{split}.ts").read_text("utf-8", "replace").splitlines():
        if in_data and line.strip():
            *channels, label = line.strip().split(":")
            series.append(np.stack([np.array(channel.split(","), float) for channel in channels], 1))
            labels.append(label.strip())
        in_data = in_data or line.lower().startswith("@data")
    return series, np.array(labels)


def columns(file: str, *indices: int) -> np.ndarray:
    """Columns (T, k) of a CSV file with one header line."""
    return np.genfromtxt(path(file), delimiter=",", skip_header=1, usecols=indices).reshape(-1, len(indices))
