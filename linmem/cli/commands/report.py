"""`linmem report`: all results as one HTML page."""

from __future__ import annotations

from pathlib import Path


def report(*, results: str = "results", out: str = "report", force: bool = False) -> None:
    """Write all results, and what was not run, as one HTML page that needs no network.

    Parameters
    ----------
    results : str
        Folder that `linmem reproduce` wrote.
    out : str
        Output folder; gets index.html.
    force : bool
        Replace an index.html that is not a report.

    Examples
    --------
    ::

        linmem report --out report
    """
    from linmem.experiments.report import page

    print(page.write(Path(results), Path(out), force=force, progress=True))
