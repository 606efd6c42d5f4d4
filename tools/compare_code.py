"""Compare what another checkout and this one measure, and note in results/ where it is the same.

    python tools/compare_code.py ../earlier_checkout
    python tools/compare_code.py ../earlier_checkout table1 capacity

Each experiment whose fingerprint differs is run in its smallest grid by both, with one thread. Where all results are
equal to the last digit, but for times, a line is added to results/equal_code.jsonl: records of the other version are
then shown as those of a version with equal results. Where they are not, the experiment is named, and its records stay
those of other code: measure it again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from linmem.experiments.harness.catalog import EXPERIMENTS
from linmem.experiments.harness.equal_code import FILE, without_times
from linmem.experiments.harness.fingerprint import code_fingerprint
from linmem.storage.atomic import read_lines, write_text

ROOT = Path(__file__).resolve().parent.parent
GRID = "smoke"
PRINT_CODE = (
    "from linmem.experiments.harness.fingerprint import code_fingerprint; import sys;"
    " print(code_fingerprint('linmem.experiments.' + sys.argv[1]))"
)


def python(tree: Path, *arguments: str) -> str:
    """Run Python with the package of a checkout, with one thread; returns what it prints."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    environment = os.environ | threads | {"PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tree, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def measured(tree: Path, name: str) -> list[Any]:
    """Run the smallest grid of an experiment and return its results without times."""
    with TemporaryDirectory() as folder:
        python(tree, "-m", "linmem", "reproduce", name, "--grid", GRID, "--out", folder)
        return [without_times(record["result"]) for record in read_lines(Path(folder) / f"{name}.jsonl")]


def main() -> None:
    """Compare the experiments and add lines to results/equal_code.jsonl."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("earlier", type=Path, help="the other checkout")
    parser.add_argument("names", nargs="*", help="experiments; default: all")
    given = parser.parse_args()
    earlier, path, failed = given.earlier.resolve(), ROOT / "results" / FILE, []
    for name in given.names or EXPERIMENTS:
        before, code = python(earlier, "-c", PRINT_CODE, name), code_fingerprint(f"linmem.experiments.{name}")
        if before == code:
            print(f"{name}: the same code", flush=True)
            continue
        results = measured(earlier, name)
        if results != measured(ROOT, name):
            failed.append(name)
            print(f"{name}: other results", flush=True)
            continue
        line = {"experiment": name, "earlier": before, "code": code, "grid": GRID, "results": len(results)}
        line |= {"compared": datetime.now(timezone.utc).isoformat(timespec="seconds")}
        write_text(
            path, "".join(json.dumps(one) + "\n" for one in [*(read_lines(path) if path.exists() else []), line])
        )
        print(f"{name}: {len(results)} equal results", flush=True)
    if failed:
        sys.exit(f"{', '.join(failed)} must be measured again: linmem reproduce NAME --force --out results")


if __name__ == "__main__":
    main()
