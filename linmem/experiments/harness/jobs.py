"""Names of resumable jobs, and single ones; `linmem.runs.queue.run_jobs` does several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from linmem.runs.queue import Job, run_jobs


def run_job(folder: Path, name: str, job: Job) -> Any:
    """Do one job, unless it is done, and return its result."""
    return run_jobs(folder, {name: job})[name]


def job_name(*parts: Any) -> str:
    """Return a name that is safe in a path: "Mackey-Glass, τ = 17" becomes "Mackey_Glass__τ___17"."""
    return "-".join("".join(c if c.isalnum() else "_" for c in str(part)) for part in parts)
