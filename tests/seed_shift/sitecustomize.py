"""Shift every seed by LINMEM_TEST_SEED; Python imports this file at start where its folder is in PYTHONPATH.

`tests/conftest.py` puts the folder there, so that the processes that tests start draw the same numbers as the tests.
"""

import os


def shift(by: int) -> None:
    """Add `by` to the seeds of NumPy generators and of torch.manual_seed in this process, once."""
    import numpy as np
    import torch

    if getattr(np.random.default_rng, "shifted", False):
        return
    numpy_rng, torch_seed = np.random.default_rng, torch.manual_seed

    def default_rng(seed=None):
        return numpy_rng(seed + by if isinstance(seed, int) else seed)

    default_rng.shifted = True
    np.random.default_rng = default_rng
    torch.manual_seed = lambda seed: torch_seed(seed + by)


SEED = int(os.environ.get("LINMEM_TEST_SEED", "0"))
if SEED:
    shift(SEED)
