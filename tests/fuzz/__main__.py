"""`python -m tests.fuzz`: run the doors, or one kept case again. See the package's docstring."""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import re
import sys
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tests.fuzz.doors import DOORS
from tests.fuzz.oracle import inside
from tests.fuzz.worker import Failure, run_door

PIECE = 250  # cases that are run, and saved, together
COLUMNS = ("cases", "accepted", "failures", "CPU s")


def main() -> int:
    """Run the command; returns 1 if a case failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("doors", nargs="*", default=[], help=f"of {', '.join(DOORS)}; default all")
    parser.add_argument("--cases", type=int, default=200, help="cases per door")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first case")
    parser.add_argument("--processes", type=int, default=1, help="doors that run at the same time")
    parser.add_argument(
        "--save", type=Path, help="file of finished pieces; the same command continues, unless the code has changed"
    )
    parser.add_argument("--replay", type=Path, help="folder of a kept case")
    options = parser.parse_args()
    if options.replay:
        return _replay(options.replay)
    names, totals = options.doors or list(DOORS), defaultdict(Counter)
    seeds = range(options.seed, options.seed + options.cases, PIECE)
    pieces = [(name, seed, min(PIECE, seeds.stop - seed)) for seed in seeds for name in names]
    code, done = _code(), {}
    for piece in _saved(options.save):
        key = piece["door"], piece["seed"], piece["cases"]
        if key in pieces and piece["code"] == code:
            done[key] = piece
    for piece in done.values():
        totals[piece["door"]].update({name: piece[name] for name in COLUMNS})
    jobs = [piece for piece in pieces if piece not in done]
    with ProcessPoolExecutor(options.processes) as pool:
        for (name, seed, _), (report, seconds) in zip(jobs, pool.map(run_door, jobs), strict=True):
            counts = (report.cases, report.accepted, len(report.failures), round(seconds, 1))
            piece = {"door": name, "seed": seed, "code": code, **dict(zip(COLUMNS, counts, strict=True))}
            totals[name].update({name: piece[name] for name in COLUMNS})
            if options.save:
                with options.save.open("a") as file:
                    print(json.dumps(piece), file=file)
            for one in distinct(report.failures):
                print(f"  {name}, seed {one.seed}: {one.problem.rstrip()}", file=sys.stderr)
                print(f"  again: python -m tests.fuzz --replay {one.kept}", file=sys.stderr, flush=True)
    print(f"{'door':<14}" + "".join(f"{column:>10}" for column in COLUMNS))
    for name in names:
        print(f"{name:<14}" + "".join(f"{totals[name][column]:>10g}" for column in COLUMNS))
    failed = sum(totals[name]["failures"] for name in names)
    print(f"{sum(totals[name]['cases'] for name in names)} cases, {failed} failures")
    return int(failed > 0)


def _code() -> str:
    """A checksum of linmem and of this suite: pieces that other code has run are not counted."""
    digest, root = hashlib.sha256(), Path(__file__).parents[2]
    sources = [root.glob(pattern) for pattern in ("linmem/**/*.py", "linmem/**/*.c", "tests/fuzz/**/*.py")]
    for path in sorted(itertools.chain(*sources)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _saved(file: Path | None) -> list[dict[str, Any]]:
    """The pieces that earlier runs have finished."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file and file.exists() else []


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
