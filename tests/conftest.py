"""Before torch is imported: where there is no GPU, Triton's kernels run in its interpreter, on the CPU."""

import os
from pathlib import Path

from hypothesis import HealthCheck, settings

if not Path("/dev/nvidia0").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# The same examples in every run, however slow the machine: what hypothesis finds in a search of its own
# (`pytest --hypothesis-profile=default`) becomes a test by its own name.
settings.register_profile("linmem", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("linmem")
