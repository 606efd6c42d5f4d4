"""Before torch is imported: where there is no GPU, Triton's kernels run in its interpreter, on the CPU."""

import os
from pathlib import Path

if not Path("/dev/nvidia0").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")
