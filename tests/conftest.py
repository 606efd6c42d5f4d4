"""Before torch is imported: one thread, and where there is no GPU, Triton's kernels run in its interpreter, on the CPU.

With more threads than idle cores the small products of the tests take ten times as long. `OMP_NUM_THREADS` overrides.

`LINMEM_TEST_SEED=7 pytest` adds 7 to the seeds of NumPy generators and torch.manual_seed, and of hypothesis's search,
here and in all processes that tests start (`tests/seed_shift/sitecustomize.py`).
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
if not Path("/dev/nvidia0").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# The same examples in every run, however slow the machine: what hypothesis finds in a search of its own
# (`pytest --hypothesis-profile=default`) becomes a test by its own name.
SEED = int(os.environ.get("LINMEM_TEST_SEED", "0"))
settings.register_profile("linmem", derandomize=SEED == 0, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("linmem")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    if SEED:
        from tests.seed_shift.sitecustomize import shift  # imports torch, after TRITON_INTERPRET is set

        config.option.hypothesis_seed = str(SEED)
        shift(SEED)
        folder = str(Path(__file__).parent / "seed_shift")
        os.environ["PYTHONPATH"] = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
