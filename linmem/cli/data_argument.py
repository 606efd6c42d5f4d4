"""The argument DATA, which many commands share."""

from __future__ import annotations

from typing import Annotated

from linmem import data
from linmem.cli.signature import Help

DataArgument = Annotated[
    str,
    Help(
        f"data set by name ({', '.join(data.SETS)}), the first N sequences of its splits (NAME:N, NAME:N:M:K), a"
        " folder of MIDI, NPY, CSV or TS files, or one CSV, NPY or TS file"
    ),
]
