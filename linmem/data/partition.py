"""Choice of the training, validation and test sequences of a user's files: reproducible, stratified by class.

Sequences are ordered by the SHA-256 of their titles; of each class the last 15 % (at least one) are test and the 15 %
before them (at least one) valid. The order depends on titles and seed alone, so it is the same on every machine.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Sequence

from linmem.data.splits import SPLITS

HELD_OUT = 0.15


def partition(
    titles: Sequence[str], given: Sequence[str | None], strata: Sequence[Hashable], seed: int = 0
) -> dict[str, list[int]]:
    """Assign sequences to train, valid and test.

    Parameters
    ----------
    titles : sequence of str
        One unique title per sequence.
    given : sequence of str or None
        The split that a sequence's folder or file name states; None for all if there is none.
    strata : sequence of hashable
        Class of each sequence, or one value for all.
    seed : int
        Selects another split; 0 is the default.

    Returns
    -------
    dict from split to list of int
        Indices in ascending order. Where train and test are given but valid is not, valid is taken from train.

    Raises
    ------
    ValueError
        Sequences lie outside the given splits, a split is empty, or a class has fewer than three sequences.

    Examples
    --------
    >>> partition(["a", "b", "c", "d"], [None] * 4, [None] * 4)
    {'train': [2, 3], 'valid': [1], 'test': [0]}
    """
    if any(given):
        return _given_splits(titles, given, strata, seed)
    for stratum, size in Counter(strata).items():
        if size < 3:
            what = "the data" if stratum is None else f"class {stratum!r}"
            raise ValueError(
                f"{what} must hold at least 3 sequences to be split into train, valid and test, got {size}. "
                "Add some, or put the files into folders train, valid and test."
            )
    rest, test = _hold_out(range(len(titles)), titles, strata, seed)
    train, valid = _hold_out(rest, titles, strata, seed, Counter(strata))
    return {"train": train, "valid": valid, "test": test}


def _given_splits(
    titles: Sequence[str], given: Sequence[str | None], strata: Sequence[Hashable], seed: int
) -> dict[str, list[int]]:
    for title, split in zip(titles, given, strict=True):
        if split is None:
            raise ValueError(f"{title} must be in train, valid or test, got another place. Move it into one of them.")
    chosen = {split: [i for i, where in enumerate(given) if where == split] for split in SPLITS}
    for split in ("train", "test"):
        if not chosen[split]:
            raise ValueError(f"{split} must hold data files like the other splits, got none. Add at least one.")
    if not chosen["valid"]:
        if len(chosen["train"]) < 2:
            raise ValueError("train must hold at least 2 sequences to give one to valid, got 1. Add a folder valid.")
        chosen["train"], chosen["valid"] = _hold_out(chosen["train"], titles, strata, seed)
    if not chosen["valid"]:
        raise ValueError(
            "train must hold 2 sequences of a class to give one to valid, got 1 of each. Add a folder valid."
        )
    return chosen


def _hold_out(
    indices: Sequence[int],
    titles: Sequence[str],
    strata: Sequence[Hashable],
    seed: int,
    sizes: Counter[Hashable] | None = None,
) -> tuple[list[int], list[int]]:
    """Split off 15 % of each stratum of `sizes` (of the indices), at least one where two or more are left."""
    sizes = sizes or Counter(strata[i] for i in indices)
    kept, held_out = [], []
    for stratum in sizes:
        own = sorted((i for i in indices if strata[i] == stratum), key=lambda i: _order(titles[i], seed))
        count = max(1, round(HELD_OUT * sizes[stratum])) if len(own) > 1 else 0
        kept += own[: len(own) - count]
        held_out += own[len(own) - count :]
    return sorted(kept), sorted(held_out)


def _order(title: str, seed: int) -> bytes:
    return hashlib.sha256((title if seed == 0 else f"{seed}/{title}").encode()).digest()
