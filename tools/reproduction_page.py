"""Make what the repository shows of its results agree with their lines: results/*.md, and two tables of the docs.

    python tools/reproduction_page.py

Run it before results are committed; a test compares the tables of docs/reproduction.md with the lines.
"""

from __future__ import annotations

import re
from pathlib import Path

from linmem.experiments.harness import reproduction

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "results", ROOT / "docs" / "reproduction.md"
TABLES = {"state": reproduction.listing, "targets": reproduction.targets_listing}  # by the name of their mark


def with_tables(page: str, results: Path) -> str:
    """The page with the tables between `<!-- NAME: … -->` and `<!-- end of NAME -->` made anew."""
    for name, table in TABLES.items():
        marks = rf"(<!-- {name}:[^>]*-->\n).*?(<!-- end of {name} -->)"
        block = f"\n{table(results)}\n\n"
        page, found = re.subn(marks, lambda match, block=block: match[1] + block + match[2], page, flags=re.DOTALL)
        if found != 1:
            raise ValueError(f"{PAGE.name} has {found} places for the table {name}: one was wanted")
    return page


def main() -> None:
    """Write the tables."""
    for name in reproduction.EXPERIMENTS:
        if (RESULTS / f"{name}.jsonl").exists():
            reproduction.shown(name, RESULTS)
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), RESULTS), encoding="utf-8")


if __name__ == "__main__":
    main()
