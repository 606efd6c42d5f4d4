"""A clock that is set back or jumps ahead changes no result, and no command fails or waits because of it."""

import os
import random
import time

import pytest

from tests.crash.commands import EACH, difference
from tests.crash.processes import run

DAY = 86400.0


def jumping_clock():
    """Let `time.time` jump by up to a day at every call, mostly backwards."""
    start, moments = time.time(), random.Random(0)
    for name, scale in (("time", 1.0), ("time_ns", 1e9)):
        setattr(time, name, lambda scale=scale: type(scale)((start - moments.uniform(-0.2, 1.0) * DAY) * scale))


@pytest.mark.parametrize("name", EACH[:3])
def test_a_clock_that_jumps_changes_nothing(commands, tmp_path, name):
    log = tmp_path / "log"
    for out, prepare in (("usual", None), ("jumping", jumping_clock)):
        assert run(commands.arguments(name, tmp_path / out), log, fresh=False, prepare=prepare) == (0, [])
    assert difference(tmp_path / "usual", tmp_path / "jumping") is None


@pytest.mark.slow
def test_files_from_the_future_are_resumed_and_read(commands, tmp_path):
    """After the clock was set back, a run's files are newer than now."""
    whole, cut, log = tmp_path / "whole", tmp_path / "cut", tmp_path / "log"
    assert run(commands.arguments("train", whole), log, fresh=False) == (0, [])
    shorter = [one.replace("max_epochs=4", "max_epochs=2") for one in commands.arguments("train", cut)]
    assert run(shorter, log, fresh=False) == (0, [])
    for path in [cut, *cut.iterdir()]:
        os.utime(path, (time.time() + 400 * DAY,) * 2)
    assert run(commands.arguments("train", cut), log, fresh=False) == (0, [])
    assert difference(whole, cut) is None
