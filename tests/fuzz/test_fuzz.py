"""The doors on 200 cases each, and the suite itself on doors that break its rules."""

from __future__ import annotations

import json
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz.__main__ import main
from tests.fuzz.doors import DOORS
from tests.fuzz.oracle import Door
from tests.fuzz.worker import keep_folder, run_cases, run_door

pytest.importorskip("mido")
pytest.importorskip("optuna")


@pytest.mark.parametrize("name", DOORS)
def test_every_case_succeeds_or_is_refused_with_one_line(name):
    report, _ = run_door((name, 0, 200))
    assert not report.failures, f"{report.failures[0].problem}\nagain: --replay {report.failures[0].kept}"
    assert report.accepted > 0, "every case was refused: the door tests the refusals of one check only"
    assert report.accepted < report.cases


def breaking(use):
    """A door whose use is `use`."""
    return Door("broken", lambda rng, folder: (folder / "a.bin").write_bytes(b"1") and {}, use)


def problems(use, **limits):
    return [one.problem for one in run_cases(breaking(use), range(2), **limits).failures]


def test_the_suite_notices_other_exceptions_and_long_messages_and_lines(monkeypatch, tmp_path):
    monkeypatch.setenv("LINMEM_FUZZ_KEEP", str(tmp_path))

    def raising(error):
        def use(folder, out, arguments):
            raise error

        return problems(use)

    assert raising(ValueError("a.bin is refused")) == []
    assert raising(FileNotFoundError(2, "missing", "a.bin")) == []
    assert all("KeyError instead" in one for one in raising(KeyError("a.bin")))
    assert all("characters" in one for one in raising(ValueError("a.bin " + "x" * 300)))
    assert all("not one line" in one for one in raising(ValueError("a.bin\nx")))
    assert all("does not name the file" in one for one in raising(ValueError("bad input")))
    assert len(raising(UnicodeDecodeError("utf-8", b"a.bin", 0, 1, "a.bin"))) == 2


def test_the_suite_notices_hangs_memory_deaths_and_warnings(monkeypatch, tmp_path):
    monkeypatch.setenv("LINMEM_FUZZ_KEEP", str(tmp_path))

    def hang(folder, out, arguments):
        started = time.process_time()
        while time.process_time() - started < 5:
            pass

    assert problems(hang, cpu_seconds=0.2) == ["more CPU time than the limit"] * 2
    assert all("MemoryError" in one for one in problems(lambda *_: np.ones(2**28), memory=2**28))
    assert problems(lambda *_: os.kill(os.getpid(), 9)) == ["died by SIGKILL"] * 2

    def warn(folder, out, arguments):
        for index in range(5):
            warnings.warn(f"again {index}", stacklevel=1)

    assert all("5 warnings" in one for one in problems(warn))
    assert all("output outside" in one for one in problems(lambda *_: print("x")))


def test_the_suite_notices_files_outside_the_output_folder_and_changed_inputs(monkeypatch, tmp_path):
    monkeypatch.setenv("LINMEM_FUZZ_KEEP", str(tmp_path))
    assert problems(lambda folder, out, _: (out / "x").write_text("x")) == []
    assert all("home/x" in one for one in problems(lambda *_: (Path.home() / "x").write_text("x") and None))
    assert all("in/x" in one for one in problems(lambda *_: Path("x").write_text("x") and None))
    assert all("a.bin" in one for one in problems(lambda folder, out, _: (folder / "a.bin").write_text("2") and None))


def test_saved_pieces_are_counted_once_and_only_with_their_seeds_and_code(monkeypatch, tmp_path, capsys):
    saved = tmp_path / "pieces.jsonl"

    def total(*arguments):
        monkeypatch.setattr("sys.argv", ["fuzz", "--save", str(saved), *arguments])
        assert main() == 0
        return capsys.readouterr().out.splitlines()[-1], len(saved.read_text().splitlines())

    assert total("--cases", "3", "npy") == ("3 cases, 0 failures", 1)
    assert total("--cases", "3", "npy") == ("3 cases, 0 failures", 1)  # nothing runs again
    assert total("--seed", "3", "--cases", "2", "npy") == ("2 cases, 0 failures", 2)
    monkeypatch.setattr("tests.fuzz.__main__._code", lambda: "other")
    assert total("--cases", "3", "npy") == ("3 cases, 0 failures", 3)


def test_a_kept_case_runs_again(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("LINMEM_FUZZ_KEEP", str(tmp_path))
    fails = breaking(lambda *_: 1 / 0)
    (failure, *_) = run_cases(fails, range(1)).failures
    assert failure.kept == keep_folder() / "broken-0"
    assert json.loads((failure.kept / "case.json").read_text()) == {"door": "broken", "seed": 0, "arguments": {}}
    monkeypatch.setitem(DOORS, "broken", fails)
    monkeypatch.setattr("sys.argv", ["fuzz", "--replay", str(failure.kept)])
    with pytest.raises(ZeroDivisionError):
        main()
