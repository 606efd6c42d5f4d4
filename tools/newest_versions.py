"""Compare the pins of constraints.txt with the newest versions in the package registry that install together.

`make audit` calls `python tools/newest_versions.py constraints.txt`; exit status 1 if a pin is behind. torch is not
compared, nor Triton, whose version torch requires: a new torch is a change of its own, which the whole suite must pass.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

FIXED = ("torch", "triton")
# Pins with the marker `python_version < "3.11"` are those for Python 3.10, where the documentation is not built.
EXTRAS = {"3.10": ("dev",), "3.11": ("dev", "docs")}
PIN = re.compile(r"^([\w.-]+)==([\w.]+)(.*)$", flags=re.MULTILINE)


class Pin(NamedTuple):
    """A line of constraints.txt."""

    name: str
    version: str
    python: str  # the one for which it is compared


def pins(text: str) -> list[Pin]:
    """Return all pins but the fixed ones."""
    found = [
        Pin(_name(name), version, "3.10" if 'python_version < "3.11"' in marker else "3.11")
        for name, version, marker in PIN.findall(text)
    ]
    return [pin for pin in found if pin.name not in FIXED]


def _name(text: str) -> str:
    return text.lower().replace("_", "-")


def newest(python: str, fixed: str) -> dict[str, str]:
    """Return the newest versions that install together on a Python, as uv resolves them."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(fixed)
        file.flush()
        extras = [part for extra in EXTRAS[python] for part in ("--extra", extra)]
        resolve = ["-m", "uv", "pip", "compile", "pyproject.toml", *extras, "--constraint", file.name]
        options = ["--python-version", python, "--no-annotate", "--no-header", "--quiet"]
        done = subprocess.run([sys.executable, *resolve, *options], text=True, stdout=subprocess.PIPE, check=True)
    return {_name(name): version for name, version, _ in PIN.findall(done.stdout)}


def behind(text: str) -> list[str]:
    """Return one line per pin that is not the newest version."""
    fixed = "\n".join(f"{name}=={version}" for name, version, _ in PIN.findall(text) if name in FIXED)
    found = {python: newest(python, fixed) for python in EXTRAS}
    return [
        f"{pin.name} {pin.version}: {found[pin.python][pin.name]} is the newest for Python {pin.python}"
        for pin in pins(text)
        if found[pin.python].get(pin.name, pin.version) != pin.version
    ]


if __name__ == "__main__":
    constraints = Path(sys.argv[1]).read_text(encoding="utf-8")
    lines = behind(constraints)
    print(*lines, f"{len(pins(constraints))} pins, {len(lines)} behind", sep="\n")
    sys.exit(1 if lines else 0)
