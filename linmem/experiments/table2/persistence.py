"""The baseline of table 2: a copy of the last frame."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import cast

from linmem import data
from linmem.experiments.harness.jobs import job_name, run_job
from linmem.experiments.harness.reads_of_test import read_test
from linmem.experiments.harness.summarize import Result
from linmem.runs import runner


def persistence(name: str, work: Path) -> Result:
    """Return the test scores of a copy of the last frame as a result; they are kept in `work`."""

    def evaluate() -> Result:
        return asdict(runner.baseline_scores(data.load(name), "test")[1])

    job = partial(read_test, evaluate, model="persistence", data=name)
    return {"row": "persistence", "test": cast(Result, run_job(work, f"persistence-{job_name(name)}", job))}
