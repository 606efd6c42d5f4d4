"""Regenerate what is derived from the records in results/: results/*.md and two tables of docs/reproduction.md.

    python tools/reproduction_page.py

Run it before committing results; a test compares the tables of docs/reproduction.md with the records.
"""

from __future__ import annotations

import re
from pathlib import Path

from linmem.experiments.harness import reproduce
from linmem.experiments.harness.catalog import EXPERIMENTS

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "results", ROOT / "docs" / "reproduction.md"
TABLES = {"state": reproduce.list_experiments, "targets": reproduce.list_targets}  # by the name of their marks


def with_tables(page: str, results: Path) -> str:
    """Return the page with the tables between `<!-- NAME: … -->` and `<!-- end of NAME -->` regenerated."""
    for name, table in TABLES.items():
        marks = rf"(<!-- {name}:[^>]*-->\n).*?(<!-- end of {name} -->)"
        block = f"\n{table(results)}\n\n"
        page, found = re.subn(marks, lambda match, block=block: match[1] + block + match[2], page, flags=re.DOTALL)
        if found != 1:
            raise ValueError(f"{PAGE.name} must have one place for the table {name}, got {found}. Correct its marks.")
    return page


def main() -> None:
    """Write the tables."""
    for name in EXPERIMENTS:
        if (RESULTS / f"{name}.jsonl").exists():
            reproduce.show(name, RESULTS)
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), RESULTS), encoding="utf-8")


if __name__ == "__main__":
    main()
