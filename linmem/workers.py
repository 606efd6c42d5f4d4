"""Worker processes of `torch.distributed`: connect within a time limit, and raise one clear error if a worker is lost.

Two environment variables limit the waiting, in seconds: `LINMEM_CONNECT_TIMEOUT` (default 120) until all workers are
connected, and `LINMEM_WORKER_TIMEOUT` (default 1800) for one exchange between connected workers. A worker that ends or
is killed is noticed at once; the second limit is for workers that hang and for networks that are cut.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed as dist

CONNECT, EXCHANGE = "LINMEM_CONNECT_TIMEOUT", "LINMEM_WORKER_TIMEOUT"
DEFAULTS = {CONNECT: 120, EXCHANGE: 1800}  # seconds

# Groups are kept until the process ends. If DistributedDataParallel drops the last reference to one, as it does when an
# exception outlives the group, it waits for gloo's thread, which waits for the interpreter's lock: a deadlock.
_JOINED: list[object] = []


class WorkerLostError(RuntimeError):
    """A worker did not connect in time, ended, or stopped taking part."""


def connect(backend: str = "gloo") -> None:
    """Join the process group that `torchrun` prepared, within the time limit.

    `torch.distributed.init_process_group` has one limit for connecting and for each exchange, 30 minutes by default, in
    which a failure to connect looks like a computation. This function limits them separately.

    Parameters
    ----------
    backend : str
        "gloo" for tensors on the CPU, "nccl" for GPUs.

    Raises
    ------
    WorkerLostError
        A worker did not connect within `LINMEM_CONNECT_TIMEOUT` seconds.
    ValueError
        A limit is not a positive whole number.
    """
    seconds, exchange = _seconds(CONNECT), _seconds(EXCHANGE)
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=seconds))
        dist.barrier()  # connections are made at the first exchange at the latest
        _JOINED.append(dist.group.WORLD)
        # A second group, because gloo keeps the limit with which a group was connected (seen with torch 2.6).
        dist.distributed_c10d._update_default_pg(dist.new_group(timeout=timedelta(seconds=exchange)))
        _JOINED.append(dist.group.WORLD)
    except RuntimeError as error:
        disconnect()
        workers, rank = os.environ.get("WORLD_SIZE"), os.environ.get("RANK")
        raise WorkerLostError(
            f"all {workers} workers must connect within {seconds} s, got on worker {rank}: {_reason(error)}. "
            f"Start all workers again, or raise the limit by the environment variable {CONNECT}."
        ) from None


def disconnect() -> None:
    """Leave the process group, if there is one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def lost_workers_reported(remedy: str) -> Iterator[None]:
    """Raise `WorkerLostError`, with the remedy, for an error of an exchange between workers.

    Parameters
    ----------
    remedy : str
        A sentence that says how to continue.

    Raises
    ------
    WorkerLostError
        A worker ended, or did not answer within `LINMEM_WORKER_TIMEOUT` seconds.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, WorkerLostError) or not _is_lost_connection(error):
            raise
        raise WorkerLostError(f"all workers must stay connected, got: {_reason(error)}. {remedy}") from None


def _is_lost_connection(error: RuntimeError) -> bool:
    """Whether an exchange failed; gloo raises a plain RuntimeError that only names its source file."""
    return isinstance(error, dist.DistError) or "/gloo/" in str(error)


def _reason(error: RuntimeError) -> str:
    """The first sentence of the message, without the source file."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return re.sub(r"^\[[^]]*\] ", "", line).split(". ")[0].rstrip(".")


def _seconds(variable: str) -> int:
    text = os.environ.get(variable, "").strip() or str(DEFAULTS[variable])
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) > 0):
        raise ValueError(
            f"{variable} must be a positive whole number of seconds, got {text[:40]!r}. Change or unset it."
        )
    return int(text)
