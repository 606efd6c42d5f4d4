"""Print the packages of the development environment with hashes, for `pip install --require-hashes --no-deps`.

`make lock` writes requirements-dev.lock with it. torch is left out, with the GPU libraries that only its GPU builds
need: the CPU build of a version has other hashes than the build for GPUs, and which one to install depends on the
machine. The resolver is uv, for all platforms and Python 3.11 and later.
"""

import re
import subprocess
import sys

RESOLVE = [
    *("-m", "uv", "pip", "compile", "pyproject.toml", "--extra", "dev", "--constraint", "constraints.txt"),
    *("--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate", "--quiet"),
]
OF_TORCH = re.compile(r"^(torch|cuda-|nvidia-)")
HEADER = """\
# The development environment with hashes; written by `make lock`. Install torch first (a build for this machine), then:
#     pip install --require-hashes --no-deps -r requirements-dev.lock && pip install --no-deps --editable .
# torch and its GPU libraries are left out: its CPU and GPU builds of one version have different hashes.
"""


def packages(resolved: str) -> list[str]:
    """Return one text per package: its requirement line and the lines of its hashes."""
    return re.findall(r"^\S.*(?:\n    .*)*\n", resolved, flags=re.MULTILINE)


if __name__ == "__main__":
    resolved = subprocess.run([sys.executable, *RESOLVE], capture_output=True, text=True)
    if resolved.returncode:
        sys.exit(resolved.stderr)
    print(HEADER + "".join(one for one in packages(resolved.stdout) if not OF_TORCH.match(one)), end="")
