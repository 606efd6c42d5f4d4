"""Relative reconstruction error of each form of the autoencoder, and its ratio to the Eckart–Young bound.

The bound is that of the converged spectrum. "tied" is the papers' decoder, "slices, tied" the papers' procedure with
it (ten lags per slice, no spare directions); "default" is `LinearAutoencoder(p)`. The table includes the targets.

    python benchmarks/closed_form_error.py                                   # JSB Chorales, p = 50, 100
    python benchmarks/closed_form_error.py --sizes 50 100 250 500            # about ten minutes
    python benchmarks/closed_form_error.py --sets muse_data nottingham piano_midi --forms tied default optimal
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import time
from typing import Any

import torch

from linmem import data
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.autoencoder.solvers import Slices
from linmem.reporting import tables

FORMS: dict[str, dict[str, Any]] = {
    "slices, tied": {"decoder": "tied", "solver": Slices(lags=10, spare=0)},
    "tied": {"decoder": "tied"},
    "refit": {"refine": None},
    "default": {},
    "joint": {"refine": "joint"},
    "optimal": {"decoder": "optimal"},
}
TARGETS = {
    ("default", 50): 1.02,
    ("default", 100): 1.028,
    ("default", 250): 1.045,
    ("default", 500): 1.08,
    ("joint", 50): 1.010,
    ("joint", 100): 1.015,
    ("joint", 250): 1.025,
    ("joint", 500): 1.05,
    ("optimal", 50): 1.007,
    ("optimal", 100): 1.009,
    ("optimal", 250): 1.014,
    ("optimal", 500): 1.022,
}


def measure(splits: data.Splits, size: int, form: str) -> dict[str, Any]:
    """Fit one form on train; its error on train and valid, and what it cost."""
    wall, cpu = time.perf_counter(), time.process_time()
    ae = LinearAutoencoder(size, **FORMS[form]).fit(splits.train)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    bound = LinearAutoencoder(size, decoder="tied").fit(splits.train).optimal_error_ if "slices" in form else None
    bound = bound or ae.optimal_error_
    target = TARGETS.get((form, size)) if splits.name == "jsb_chorales" else None
    if splits.name != "jsb_chorales" and form == "default":
        target = 1.04
    return {
        "set": splits.name,
        "p": size,
        "form": form,
        "bound": bound,
        "error": ae.training_error_,
        "ratio": ae.training_error_ / bound,
        "target": target,
        "reached": None if target is None else "yes" if ae.training_error_ / bound <= target else "no",
        "valid": ae.reconstruction_error(splits.valid),
        "s": wall,
        "CPU s": cpu,
    }


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["jsb_chorales"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[50, 100])
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=list(FORMS))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"{platform.machine()}, {os.cpu_count()} cores (load {load}), {options.threads} thread, "
        f"torch {torch.__version__}"
    )
    rows = []
    for name in options.sets:
        splits = data.load(name)
        for size in options.sizes:
            for form in options.forms:
                rows.append(measure(splits, size, form))
                print(f"{name} p = {size} {form}: {rows[-1]['ratio']:.4f} in {rows[-1]['s']:.1f} s", flush=True)
    print()
    digits = {"bound": 6, "error": 6, "ratio": 4, "target": 3, "valid": 4, "s": 1, "CPU s": 1}
    print(tables.markdown(rows, digits))
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
