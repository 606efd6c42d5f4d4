"""Kill commands at random moments, continue them in a new process, and compare the result with an uninterrupted run.

    python -m tests.crash.random_kills --kills 50 --seed 0                # as `make crash` does
    python -m tests.crash.random_kills --kills 50 --seed 0 --save FILE    # the same command continues after an end

Half of the continued runs are killed again. A moment is a random number of changes in the output folder after the
start, plus up to 20 milliseconds, so that kills fall between, before and into writes; one in five falls into the start
of the program. Exits with status 1 if a result differs in a bit (measured seconds excepted).
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.crash.commands import NAMES, Commands, difference, partial_files, remove
from tests.crash.processes import Command

EARLY = 0.2  # share of kills in the start of the program
LATE = 0.02  # seconds after a change, at most


def snapshot(folder):
    """State of the files of a folder, to notice changes."""
    found = set()
    for path in folder.rglob("*"):
        try:
            status = path.stat()
        except OSError:
            continue
        found.add((str(path), status.st_mtime_ns, status.st_size))
    return found


def changes(command, out, limit=None):
    """Count changes in the folder `out` until the command ends, or there are `limit`."""
    before, count = snapshot(out), 0
    while command.alive() and (limit is None or count < limit):
        after = snapshot(out)
        count += after != before
        before = after
        time.sleep(0.003)
    return count


def interrupt(arguments, out, log, moments, usual, start, signal_number, fresh):
    """Start a command and send it a signal at a random moment; returns its exit status and lines."""
    command = Command(arguments, log, fresh=fresh)
    if moments.random() < EARLY:
        time.sleep(moments.uniform(0.0, start))
    else:
        changes(command, out, moments.randint(1, max(1, usual)))
        time.sleep(moments.uniform(0.0, LATE))
    command.send(signal_number)
    return command.wait(), command.lines()


def uninterrupted(commands, name, folder, fresh):
    """Run a command to its end; returns its output folder, the number of changes in it, and the seconds before."""
    out, started = folder / f"whole-{name}", time.perf_counter()
    command = Command(commands.arguments(name, out), folder / "log", fresh=fresh)
    while command.alive() and not out.exists():
        time.sleep(0.003)
    start = time.perf_counter() - started
    whole = (out, changes(command, out), start)
    if command.wait() != 0:
        raise RuntimeError(f"{name} without a kill failed: {command.lines()}")
    return whole


def kill_and_compare(
    kills, seed, folder, *, names=NAMES, fresh=True, signal_number=signal.SIGKILL, report=print, save=None
):
    """Interrupt commands `kills` times in all; returns the counts and the differences found.

    An attempt that has ended is a line of the file `save`; those of an earlier call with it are counted, not run again.
    """
    commands, counts, problems = Commands(folder, fresh=fresh), Counter(), []
    whole = {name: uninterrupted(commands, name, folder, fresh) for name in names}
    done = {one["attempt"]: one for one in map(json.loads, save.read_text().splitlines())} if save else {}
    for attempt in range(10 * kills):
        if sum(counts[name] for name in names) >= kills:
            break
        if attempt not in done:
            name = names[attempt % len(names)]
            left = kills - sum(counts[one] for one in names)
            moments = random.Random(f"{seed} {attempt}")
            out = folder / f"{name}-{attempt}"
            found, failed = one_attempt(commands, name, out, moments, whole[name], left, signal_number, fresh)
            done[attempt] = {"attempt": attempt, "counts": found, "problems": [f"{out.name}: {one}" for one in failed]}
            report(f"{name} {attempt}: {failed or 'same bits'}")
            if save:
                with save.open("a") as file:
                    print(json.dumps(done[attempt]), file=file)
        counts.update(done[attempt]["counts"])
        problems += done[attempt]["problems"]
    return counts, problems


def one_attempt(commands, name, out, moments, whole, most, signal_number, fresh):
    """Interrupt a command once, then with probability 1/2 again and at most `most` times; continue and compare."""
    arguments, log, (reference, usual, start) = commands.arguments(name, out), commands.folder / "log", whole
    ended = 130 if signal_number == signal.SIGINT else -signal_number
    counts, problems, again = Counter(), [], True
    while again and counts[name] < most:
        status, lines = interrupt(arguments, out, log, moments, usual, start, signal_number, fresh)
        if status == ended:
            counts[name] += 1
            if signal_number == signal.SIGINT and len(lines) != 1:
                problems.append(f"{len(lines)} lines, the last {lines[-1:]}")
        elif status == 0:
            counts["ended before the signal"] += 1
        else:
            problems.append(f"status {status}, {lines[-1:]}")
        again = status != 0 and moments.random() < 0.5
    status = Command(arguments, log, fresh=fresh).wait()
    counts["compared"] += 1
    counts["partial files left"] += len(partial_files(out))
    found = f"status {status}" if status else difference(reference, out)
    if found:
        problems.append(found)
    else:
        remove(out)
    return counts, problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--interrupt", action="store_true", help="send SIGINT, as Ctrl-C does, instead of SIGKILL")
    parser.add_argument("--forked", action="store_true", help="fork processes, which saves the start of interpreters")
    parser.add_argument("--only", choices=NAMES, action="append")
    parser.add_argument("--save", type=Path, help="file of finished attempts; the same command continues")
    given = parser.parse_args()
    if given.save:
        given.save.touch()
    kind = signal.SIGINT if given.interrupt else signal.SIGKILL
    with tempfile.TemporaryDirectory() as folder:
        counts, problems = kill_and_compare(
            given.kills,
            given.seed,
            Path(folder),
            names=tuple(given.only or NAMES),
            fresh=not given.forked,
            signal_number=kind,
            save=given.save,
        )
    killed = ", ".join(f"{name} {counts[name]}" for name in NAMES if counts[name])
    total = sum(counts[name] for name in NAMES)
    print(f"{kind.name}: {total} ({killed}); {counts['ended before the signal']} ended before the signal")
    print(f"compared with uninterrupted runs: {counts['compared']}, different: {len(problems)}")
    print(f"partial files left by kills: {counts['partial files left']}")
    print(*problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
