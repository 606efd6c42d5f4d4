"""`linmem demo`: four models on the chorales."""

from __future__ import annotations

from pathlib import Path


def demo(*, out: str = "demo", seed: int = 0, quick: bool = False, force: bool = False) -> None:
    """Train an LSTM, an LMN, a pretrained LMN and a joint model on the chorales; one folder of results.

    Parameters
    ----------
    out : str
        Output folder.
    seed : int
        Seed of weights, batches and music.
    quick : bool
        Two epochs per model, as a test of the installation.
    force : bool
        Train again.

    Examples
    --------
    ::

        linmem demo --quick
    """
    from linmem.experiments import demo

    print(f"\n{demo.run(Path(out), seed=seed, quick=quick, force=force)}\n")
    print(f"table, figures and music: {out}")
