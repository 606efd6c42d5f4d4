"""Two processes that write to one folder: one of them is refused with one line, and the other's output is whole."""

import signal
import time

import pytest

from tests.crash.commands import EACH, difference, partial_files
from tests.crash.processes import Command, run


@pytest.mark.parametrize("name", EACH[:2])
def test_the_second_of_two_writers_is_refused(commands, tmp_path, name):
    whole, out, log = tmp_path / "whole", tmp_path / "out", tmp_path / "log"
    arguments = commands.arguments(name, out)
    assert run(commands.arguments(name, whole), log, fresh=False) == (0, [])
    first = Command(arguments, tmp_path / "first", fresh=False)
    while first.alive() and not (out / "run.lock").exists():
        time.sleep(0.003)
    first.send(signal.SIGSTOP)  # it holds the lock, wherever it is
    status, lines = run([*arguments, "--seed=1"], log, fresh=False)
    first.send(signal.SIGCONT)
    assert first.wait() == 0
    assert status == 2
    (line,) = lines
    assert "must" in line
    assert "another process writes" in line or "seed must be" in line
    assert difference(whole, out) is None
    assert partial_files(out) == []
