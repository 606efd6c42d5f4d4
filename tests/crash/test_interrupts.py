"""Ctrl-C at any moment from the first import on: exit status 130, one line, and a command that continues.

Before its first import of linmem, the interpreter itself handles Ctrl-C, with a traceback that nobody can prevent.
"""

import random
import signal
import time

import pytest

from tests.crash.commands import Commands, partial_files
from tests.crash.processes import Command


@pytest.mark.parametrize("seconds", [0.0, pytest.param(random.Random(0).uniform(0.1, 1.5), marks=pytest.mark.slow)])
def test_an_interrupt_of_the_start_gives_one_line(tmp_path, monkeypatch, seconds):
    monkeypatch.setenv("LINMEM_TEST_SEED", "0")  # shifting the seeds imports torch before linmem can handle Ctrl-C
    command = Command(["fit", "chorales", "--out", str(tmp_path / "out")], tmp_path / "log")
    while command.alive() and not command.mapped("torch"):
        time.sleep(0.003)
    time.sleep(seconds)
    command.send(signal.SIGINT)
    assert command.wait() == 130
    (line,) = command.lines()
    assert line.startswith("linmem")
    assert line.partition(": ")[2].startswith("interrupted")
    assert partial_files(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("train", "; continue with --resume"),
        pytest.param("sweep", "; the same command continues", marks=pytest.mark.slow),
    ],
)
def test_an_interrupt_of_the_work_gives_one_line(commands: Commands, tmp_path, name, remedy):
    command = Command(commands.arguments(name, tmp_path / "out"), tmp_path / "log", fresh=False)
    while command.alive() and not list((tmp_path / "out").rglob("state.safetensors")):
        time.sleep(0.003)
    command.send(signal.SIGINT)
    assert command.wait() == 130
    assert command.lines() == [f"linmem {name}: interrupted{remedy}"]
    assert partial_files(tmp_path) == []
