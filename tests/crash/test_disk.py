"""Full disks and read-only folders: one line, no file left, inputs unchanged; afterwards the command continues."""

import resource

import pytest

from tests.crash.commands import EACH, contents, difference, partial_files
from tests.crash.mounts import remount, small_file_system
from tests.crash.processes import run


def assert_one_line(name, status, lines, *reasons):
    assert status == 2, lines
    (line,) = lines
    assert line.startswith(f"linmem {name}: ")
    assert any(reason in line for reason in reasons), line
    assert len(line) <= 300 + len(f"linmem {name}: ")


FREE = {"train": 16, "fit": 16, "sweep": 48, "encode": 0, "predict": 0}  # KiB; a command fails in one of its writes


@pytest.mark.parametrize("name", EACH)
def test_a_full_disk_gives_one_line_and_the_command_continues_with_the_same_bits(commands, tmp_path, name):
    whole, log = tmp_path / "whole", tmp_path / "log"
    assert run(commands.arguments(name, whole), log, fresh=False) == (0, [])
    with small_file_system(tmp_path / "small", "4m") as disk:
        (disk / "filler").write_bytes(bytes((4096 - FREE[name]) * 1024))
        arguments = commands.arguments(name, disk / "out")
        assert_one_line(name, *run(arguments, log, fresh=False), "No space left")
        assert partial_files(disk) == []
        (disk / "filler").unlink()
        assert run(arguments, log, fresh=False) == (0, [])
        assert difference(whole, disk / "out") is None


def limit_file_size():
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sweep", "encode", "predict"])  # those of fit and train are in test_cli.py
def test_a_limit_on_file_sizes_gives_one_line(commands, tmp_path, name):
    arguments, log = commands.arguments(name, tmp_path / "out"), tmp_path / "log"
    assert_one_line(name, *run(arguments, log, fresh=False, prepare=limit_file_size), "File too large")
    assert partial_files(tmp_path) == []
    assert run(arguments, log, fresh=False) == (0, [])


@pytest.mark.parametrize("name", EACH)
def test_a_read_only_folder_gives_one_line(commands, tmp_path, name):
    log = tmp_path / "log"
    with small_file_system(tmp_path / "read_only", "1m") as disk:
        remount(disk, "ro")
        assert_one_line(name, *run(commands.arguments(name, disk / "out"), log, fresh=False), "Read-only file system")
        assert list(disk.iterdir()) == []


def test_reading_commands_write_nothing_into_a_read_only_run(commands, tmp_path):
    log = tmp_path / "log"
    with small_file_system(tmp_path / "read_only", "20m") as disk:
        arguments = commands.arguments("train", disk / "run")
        assert run(arguments, log, fresh=False) == (0, [])
        before = contents(disk)
        remount(disk, "ro")
        assert run(["evaluate", str(disk / "run")], log, fresh=False) == (0, [])
        predict = ["predict", str(disk / "run"), str(commands.pieces), "--out", str(tmp_path / "predicted.csv")]
        assert run(predict, log, fresh=False) == (0, [])
        assert_one_line("train", *run([*arguments, "--force"], log, fresh=False), "Read-only file system")
        assert contents(disk) == before
