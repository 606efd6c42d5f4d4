"""Exhausted memory: one line where the allocation fails, and a kill by the system that loses nothing."""

import os
import resource
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crash.commands import EACH, difference
from tests.crash.processes import run

LIMITED = 64 * 2**20  # bytes beyond what the process has


def limit_address_space():
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + LIMITED
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


@pytest.mark.parametrize("name", EACH[:2])
def test_memory_that_cannot_be_allocated_gives_one_line(commands, tmp_path, name):
    arguments = commands.arguments(name, tmp_path / "out")
    large = {"train": ["--hidden_size=6000", "--pretrain=none"], "fit": ["--memory_size=8", "--solver=exact"]}
    if name == "fit":
        arguments[1] = str(long_sequences(tmp_path))
    status, lines = run([*arguments, *large[name]], tmp_path / "log", fresh=False, prepare=limit_address_space)
    assert status == 2, lines
    (line,) = lines
    assert "memory" in line or "allocate" in line


def long_sequences(folder):
    """Sequences whose history matrix takes more than the limit."""
    import numpy as np

    (folder / "long").mkdir()
    for index in range(10):
        np.save(folder / "long" / f"{index}.npy", np.random.default_rng(index).normal(size=(200, 40)))
    return folder / "long"


@contextmanager
def memory_group(limit):
    """A control group with a limit on memory, or a skipped test where that is not allowed."""
    group = Path("/sys/fs/cgroup/memory") / f"linmem-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group for memory: {error}")
    try:
        (group / "memory.limit_in_bytes").write_text(str(limit))
        yield group
    except OSError as error:
        pytest.skip(f"no control group for memory: {error}")
    finally:
        group.rmdir()


class Join:
    """Puts the process into the group before it starts to work; then lets it fill its memory after `epochs` epochs."""

    def __init__(self, group, epochs):
        self.group, self.epochs = str(group), epochs

    def __call__(self):
        Path(self.group, "cgroup.procs").write_text(str(os.getpid()))
        from linmem.training import checkpoint, loop

        save, saved, filling = checkpoint.save, [], []

        def save_and_fill(*given):
            save(*given)
            saved.append(1)
            while len(saved) == self.epochs:
                filling.append(bytearray(os.urandom(2**20)))

        loop.save = save_and_fill


def test_a_run_that_the_system_kills_for_memory_resumes_with_the_same_bits(commands, tmp_path):
    whole, cut, log = tmp_path / "whole", tmp_path / "cut", tmp_path / "log"
    assert run(commands.arguments("train", whole), log, fresh=False) == (0, [])
    with memory_group(400 * 2**20) as group:
        status, _ = run(commands.arguments("train", cut), log, fresh=False, prepare=Join(group, 6))
    assert status == -signal.SIGKILL
    assert run(commands.arguments("train", cut), log, fresh=False) == (0, [])
    assert difference(whole, cut) is None
