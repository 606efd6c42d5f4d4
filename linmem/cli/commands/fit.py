"""`linmem fit`: the closed form on a data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.cli.data_argument import DataArgument
from linmem.cli.default_folder import default_folder
from linmem.cli.signature import Options
from linmem.data import FolderOptions
from linmem.validation import check_count


def fit(
    data: DataArgument,
    autoencoder: Annotated[Mapping[str, Any], Options(LinearAutoencoder, skip=("random_state",))],
    files: Annotated[Mapping[str, Any], Options(FolderOptions)],
    *,
    out: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    force: bool = False,
) -> None:
    """Fit the linear autoencoder of a data set; error against memory size as a table and a figure.

    Parameters
    ----------
    out : str
        Output folder; by default runs/fit-DATA.
    seed : int
        Seed of the randomized solver.
    device : str
        cpu, cuda, cuda:1, …
    force : bool
        Replace earlier output.

    Examples
    --------
    ::

        linmem fit chorales --memory_size 100
    """
    from linmem.analysis import memory_curve
    from linmem.reporting.output import require_matplotlib

    require_matplotlib()
    estimator = LinearAutoencoder(**autoencoder, random_state=check_count("seed", seed, least=0))
    folder = Path(out) if out else default_folder("fit", data)
    print(memory_curve.fit(data, folder, estimator, FolderOptions(**files), device=device, force=force))
