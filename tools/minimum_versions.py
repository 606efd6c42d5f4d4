"""Print the oldest version of every dependency that pyproject.toml admits, as constraints for pip.

`make test-minimum` calls `python tools/minimum_versions.py pyproject.toml`.
"""

import re
import sys
from pathlib import Path


def minimum_versions(text: str) -> list[str]:
    """Return one `name==version` per dependency with a lower bound; those of the build are left out."""
    dependencies = text[text.index("[project]") : text.index("[project.scripts]")]
    found = re.findall(r'"([\w.-]+)(?:\[[\w,]+\])?>=([\d.]+)', dependencies)
    return sorted({f"{name}=={version}" for name, version in found})


if __name__ == "__main__":
    print("\n".join(minimum_versions(Path(sys.argv[1]).read_text(encoding="utf-8"))))
