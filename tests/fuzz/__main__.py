"""`python -m tests.fuzz`: run the doors, or one kept case again. See the package's docstring."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.fuzz.doors import DOORS
from tests.fuzz.oracle import inside
from tests.fuzz.worker import Failure, run_door


def main() -> int:
    """Run the command; returns 1 if a case failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("doors", nargs="*", default=[], help=f"of {', '.join(DOORS)}; default all")
    parser.add_argument("--cases", type=int, default=200, help="cases per door")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first case")
    parser.add_argument("--processes", type=int, default=1, help="doors that run at the same time")
    parser.add_argument("--replay", type=Path, help="folder of a kept case")
    options = parser.parse_args()
    if options.replay:
        return _replay(options.replay)
    started, failed, total = time.perf_counter(), 0, 0
    jobs = [(name, options.seed, options.cases) for name in options.doors or DOORS]
    print(f"{'door':<14}{'cases':>8}{'accepted':>10}{'failures':>10}{'seconds':>9}", flush=True)
    with ProcessPoolExecutor(options.processes, max_tasks_per_child=1) as pool:
        for (name, _, _), (report, seconds) in zip(jobs, pool.map(run_door, jobs), strict=True):
            total, failed = total + report.cases, failed + len(report.failures)
            print(
                f"{name:<14}{report.cases:>8}{report.accepted:>10}{len(report.failures):>10}{seconds:>9.1f}", flush=True
            )
            for one in distinct(report.failures):
                print(f"  {name}, seed {one.seed}: {one.problem.rstrip()}", file=sys.stderr)
                print(f"  again: python -m tests.fuzz --replay {one.kept}", file=sys.stderr, flush=True)
    print(f"{total} cases, {failed} failures, {time.perf_counter() - started:.0f} s")
    return int(failed > 0)


def distinct(failures: list[Failure]) -> list[Failure]:
    """The first of the failures that end in the same place."""
    return list({re.sub(r"[0-9]+", "", one.problem[-300:]): one for one in reversed(failures)}.values())[::-1]


def _replay(folder: Path) -> int:
    stored = json.loads((folder / "case.json").read_text())
    door, folder = DOORS[stored["door"]], folder.resolve()
    door.prepare()
    (folder / "out").mkdir(exist_ok=True)
    with inside(folder / "in"):
        door.use(folder / "in", folder / "out", stored["arguments"])
    print("accepted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
