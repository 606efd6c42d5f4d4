"""The doors, one file each; `DOORS` maps their names."""

from __future__ import annotations

from tests.fuzz.doors import (
    api,
    command,
    csv,
    idx,
    journal,
    mat,
    midi,
    npy,
    records,
    run_folder,
    sound,
    space,
    tensors,
    ts,
    xml,
    yaml,
)
from tests.fuzz.oracle import Door

DOORS: dict[str, Door] = {
    module.DOOR.name: module.DOOR
    for module in (
        npy, csv, ts, midi, mat, idx, sound, xml, yaml, space, run_folder, records, tensors, journal, command, api,
    )
}  # fmt: skip
