"""Default output folders of the commands."""

from __future__ import annotations

from pathlib import Path


def default_folder(*parts: str) -> Path:
    """Return `runs/A-B-…`; a part that is a path counts by its last name."""
    return Path("runs") / "-".join(Path(part).name or "data" for part in parts if part)
