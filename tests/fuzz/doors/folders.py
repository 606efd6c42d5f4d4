"""What the doors of data files share: load the data set of a case, and check that it is valid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def use_folder(folder: Path, arguments: dict[str, Any]) -> Any:
    """Load the data set with the options of the case."""
    from linmem import data

    return data.load(folder / arguments["data"], **arguments["options"])


def check_splits(splits: Any) -> None:
    """Every sequence is a finite float32 matrix with the features of the data set."""
    for split in ("train", "valid", "test"):
        sequences = getattr(splits, split)
        assert sequences, f"{split} is empty"
        for sequence in sequences:
            assert sequence.dtype == torch.float32
            assert sequence.ndim == 2
            assert len(sequence) > 0
            assert sequence.shape[1] == splits.features
            assert bool(torch.isfinite(sequence).all())
    assert "\n" not in repr(splits)
    splits.description()
