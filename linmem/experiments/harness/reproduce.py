"""Run an experiment, keep its records as they are measured, and show them.

A record is written as soon as it is measured, with a fingerprint of the code that measured it; the last one has the
CPU seconds of all processes that worked on the run. The test split is sealed (`reads_of_test`). An interrupted run
continues with the same code: `run` yields the same records in the same order, quickly where its work is done, and
records that exist are kept as they are. Records of other code are shown with a note.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

from tqdm import tqdm

from linmem.experiments.harness import targets
from linmem.experiments.harness.catalog import EXPERIMENTS, Experiment, config_record, default_grid, load_experiment
from linmem.experiments.harness.cpu_time import CPUMeter
from linmem.experiments.harness.epoch_limit import epoch_limit_text
from linmem.experiments.harness.equal_code import versions
from linmem.experiments.harness.fingerprint import code_fingerprint
from linmem.experiments.harness.reads_of_test import Run, sealed_results
from linmem.experiments.harness.records import (
    Record,
    Records,
    bad_record,
    caveat,
    is_complete,
    provenance_text,
    read_records,
    require_records,
    write_records,
)
from linmem.experiments.harness.training import WORK
from linmem.reporting import tables
from linmem.runs.directory import provenance
from linmem.storage.atomic import write_text
from linmem.storage.messages import reason_of

OTHER_CODE = "Measured by other code than this version of linmem; --force measures again."
EQUAL_CODE = "Measured by an earlier version of the code, with equal results on the smallest grid."
SHORT = {OTHER_CODE: "measured by other code", EQUAL_CODE: "measured by an earlier version with equal results"}


def reproduce(
    name: str,
    folder: Path,
    *,
    grid: str | None = None,
    seed: int | None = None,
    force: bool = False,
    progress: bool = False,
) -> str:
    """Run an experiment and return its tables; records that `folder` holds are not measured again.

    Several processes may run the same experiment in the same folder: they share the training runs and jobs.

    Parameters
    ----------
    name : str
        One of `EXPERIMENTS`.
    folder : Path
        Gets `NAME.jsonl`, `NAME.md`, figures `NAME*.png`, `test_reads.jsonl` with all readings of the test split,
        `trials/` with all training runs, and `work/` with intermediate work.
    grid : str, optional
        One of the module's `GRIDS`; default: that of the existing records, else "small" or, without one, "paper".
    seed : int, optional
        Seed of all random draws; default: that of the existing records, else 0.
    force : bool
        Whether to measure again and replace the records. Intermediate work is used again: delete `work/` to redo it.
    progress : bool
        Whether to show a progress bar on a terminal.

    Raises
    ------
    ValueError
        The name or grid is unknown, or the records belong to another grid, seed or configuration; or the run is
        incomplete and was begun by other code.
    """
    experiment, path = load_experiment(name), folder / f"{name}.jsonl"
    before = read_records(name, folder).valid if force or not path.exists() else require_records(name, folder)
    grid = grid or (before[0]["grid"] if before else default_grid(experiment))
    seed = seed if seed is not None else before[0]["seed"] if before else 0
    records = [] if force else before
    if grid not in experiment.GRIDS:
        raise ValueError(f"grid must be one of {', '.join(experiment.GRIDS)}, got {grid!r}. Choose one of these.")
    _check_same_run(name, path, records, experiment, grid, seed)
    if not is_complete(records):
        folder.mkdir(parents=True, exist_ok=True)
        if force:
            path.unlink(missing_ok=True)
        work = folder / WORK / f"{name}-{grid}-{seed}-{code_fingerprint(f'linmem.experiments.{name}')}"
        with CPUMeter(work / "cpu") as meter:
            for record in _measure(name, experiment, grid, seed, work, len(records), progress):
                records = [*records, record]
                if len(records) > len(read_records(name, folder).valid):  # else another process is ahead
                    write_records(name, folder, records)
            last = records[-1] | {"last": True, "cpu_seconds": meter.total()}
            write_records(name, folder, [*records[:-1], last])
    note = code_note(name, read_records(name, folder).valid, folder)
    return "\n\n".join(part for part in (show(name, folder), note) if part)


def is_current(name: str, records: Sequence[Record]) -> bool:
    """Return whether all records were measured by the present code."""
    return all(record.get("code") == code_fingerprint(f"linmem.experiments.{name}") for record in records)


def code_note(name: str, records: Sequence[Record], folder: Path) -> str:
    """Return a sentence if the records were measured by another version of the code, else nothing."""
    if is_current(name, records):
        return ""
    equal = {record.get("code") for record in records} <= versions(name, folder)
    return EQUAL_CODE if equal else OTHER_CODE


def show(name: str, folder: Path) -> str:
    """Return the tables of an experiment from its records, complete or not, and write them to `NAME.md`.

    Raises
    ------
    ValueError
        The name is unknown, there are no valid records, or a record cannot be shown.
    """
    experiment, records = load_experiment(name), Records(require_records(name, folder), "")
    try:
        parts = [experiment.TITLE, experiment.show(records.results, folder)]
        stated = experiment.targets(records.results)
    except ImportError:
        raise
    except Exception as error:  # records of another version, or altered ones
        line = bad_record(records.results, lambda results: experiment.show(results, folder))
        raise ValueError(
            f"{folder / name}.jsonl, line {line} must be a record of this version of {name}, got one that cannot be "
            f"shown ({type(error).__name__}: {reason_of(error, 40)}). Remove the line or run again (--force)."
        ) from error
    if stated:
        parts.append(f"Targets:\n\n{targets.target_table(stated, caveat(records))}")
    parts += [epoch_limit_text(records.valid), provenance_text(records.valid, name, folder)]
    text = "\n\n".join(part for part in parts if part)
    write_text(folder / f"{name}.md", text + "\n")
    return text


def list_experiments(folder: Path, *, check_code: bool = False) -> str:
    """Return a Markdown table of all experiments and the state of their records in `folder`.

    With `check_code` it says which records were measured by other code than the present one.
    """
    rows = []
    for name in EXPERIMENTS:
        valid, problem = read_records(name, folder)
        code = SHORT.get(code_note(name, valid, folder), "") if check_code else ""
        parts = (problem, provenance_text(valid, name, folder) if valid else "", code)
        state = "; ".join(part for part in parts if part) or "not run"
        rows.append({"experiment": name, "title": load_experiment(name).TITLE, "state": state})
    return tables.markdown(rows, words=("title", "state"))


def list_targets(folder: Path) -> str:
    """Return a Markdown table of the targets of all experiments, evaluated on the records in `folder`."""
    rows = []
    for name in EXPERIMENTS:
        records = read_records(name, folder)
        stated = load_experiment(name).targets(records.results)
        rows += [{"experiment": name} | row for row in targets.target_rows(stated, caveat(records))]
    return tables.markdown(rows, words=targets.TEXT_COLUMNS)


def _check_same_run(
    name: str, path: Path, records: Sequence[Record], experiment: Experiment, grid: str, seed: int
) -> None:
    if not records:
        return
    if (records[0]["grid"], records[0]["seed"]) != (grid, seed):
        raise ValueError(
            f"{path} must hold grid {grid} with seed {seed}, got grid {records[0]['grid']} with seed"
            f" {records[0]['seed']}. Use another folder (--out) or run again (--force)."
        )
    if not is_complete(records) and records[-1].get("config") != config_record(experiment.GRIDS[grid]):
        raise ValueError(
            f"{path} must have the configuration of the current grid {grid}, got an earlier one. Run again (--force;"
            " intermediate work is used again) or use another folder (--out)."
        )
    if not is_complete(records) and not is_current(name, records):
        raise ValueError(
            f"{path} must be continued by the code that began it ({records[-1].get('code', 'unknown')}), got other code"
            f" ({code_fingerprint(f'linmem.experiments.{name}')}). Run again (--force) or use another folder (--out)."
        )


def _measure(
    name: str, experiment: Experiment, grid: str, seed: int, work: Path, existing: int, progress: bool
) -> Iterator[Record]:
    """Yield the records after the first `existing`; `seconds` counts from the record before."""
    head = {"experiment": name, "grid": grid, "seed": seed, "config": config_record(experiment.GRIDS[grid])}
    code = code_fingerprint(f"linmem.experiments.{name}")
    source = {"code": code} | provenance()
    run = Run(name, work.parent.parent, code)
    results = sealed_results(run, experiment.run(experiment.GRIDS[grid], seed, work))
    started = time.perf_counter()
    for index, result in enumerate(tqdm(results, unit="record", disable=None if progress else True)):
        now, seconds = datetime.now(timezone.utc).isoformat(timespec="seconds"), time.perf_counter() - started
        if index >= existing:
            yield head | {"finished": now, "seconds": round(seconds, 3)} | source | {"result": result}
        started = time.perf_counter()
