"""Resumable work: each job is done once, whichever process is interrupted, and processes share it."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import dataclass

import pytest

from linmem.experiments.harness import reproduce
from linmem.runs import queue
from tests.crash.processes import FORKSERVER

from .test_sweep import PATIENCE


def job(log, value):
    with open(log, "a") as file:
        file.write(f"{value}\n")
    return {"value": value}


def jobs(log, count=20):
    return {f"job{index}": lambda index=index: job(log, index) for index in range(count)}


def work_on(folder, log, start):
    start.wait(PATIENCE)
    assert [one["value"] for one in queue.run_jobs(folder, jobs(log)).values()] == list(range(20))


def test_processes_share_jobs_and_all_get_everything(tmp_path):
    log, start = tmp_path / "log", FORKSERVER.Barrier(3)
    processes = [FORKSERVER.Process(target=work_on, args=(tmp_path / "work", log, start)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(map(int, log.read_text().split())) == list(range(20))


def test_a_job_that_raises_is_done_again_and_the_rest_is_kept(tmp_path):
    log, broken = tmp_path / "log", [True]

    def fragile():
        if broken.pop():
            raise OSError("no space left")
        return job(log, 3)

    todo = jobs(log, 3) | {"fragile": fragile}
    with pytest.raises(OSError, match="no space left"):
        queue.run_jobs(tmp_path, todo)
    broken.append(False)
    assert queue.run_jobs(tmp_path, todo)["fragile"] == {"value": 3}
    assert log.read_text().split() == ["0", "1", "2", "3"]


def test_a_job_of_another_process_is_waited_for(tmp_path, monkeypatch):
    tries = []

    def busy(path, wait):
        tries.append(wait)
        if wait:
            (tmp_path / "only.json").write_text("7")  # the other one is done
        return nullcontext(wait)

    monkeypatch.setattr(queue, "lock", busy)
    assert queue.run_jobs(tmp_path, {"only": lambda: pytest.fail("the job ran twice")}) == {"only": 7}
    assert tries == [False, True]


@dataclass(frozen=True)
class Settings:
    """The configuration of `Lines`."""


class Lines:
    """An experiment of five records that may be interrupted."""

    TITLE, GRIDS = "Lines", {"smoke": Settings(), "paper": Settings()}
    cut_at = None

    @classmethod
    def run(cls, config, seed, folder):
        for index in range(5):
            if index == cls.cut_at:
                raise KeyboardInterrupt
            yield {"index": index}

    @staticmethod
    def show(lines, folder):
        return " ".join(str(line["index"]) for line in lines)

    @staticmethod
    def targets(lines):
        return []


def test_an_experiment_that_was_cut_keeps_its_lines_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce, "load_experiment", lambda name: Lines)
    monkeypatch.setattr(Lines, "cut_at", 3)
    with pytest.raises(KeyboardInterrupt):
        reproduce.reproduce("lines", tmp_path, seed=4)
    assert "0 1 2\n\nincomplete: grid paper, seed 4" in reproduce.show("lines", tmp_path)
    before = (tmp_path / "lines.jsonl").read_text().splitlines()
    monkeypatch.setattr(Lines, "cut_at", None)
    assert "0 1 2 3 4\n\ngrid paper, seed 4" in reproduce.reproduce("lines", tmp_path)
    after = (tmp_path / "lines.jsonl").read_text().splitlines()
    assert after[:3] == before
    assert [json.loads(line)["result"]["index"] for line in after] == list(range(5))
    monkeypatch.setattr(Lines, "run", None)
    assert "0 1 2 3 4" in reproduce.reproduce("lines", tmp_path)


def test_a_process_that_lags_behind_takes_no_lines_away(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce, "load_experiment", lambda name: Lines)
    path, seen = tmp_path / "lines.jsonl", []

    def overtaken(config, seed, folder):
        for line in Lines.run(config, seed, folder):
            seen.append(len(path.read_text().splitlines()) if path.exists() else 0)
            if line["index"] == 1:  # another process does it all in between
                reproduce.reproduce("other", tmp_path)
                shutil.copy(tmp_path / "other.jsonl", path)
            yield line

    slow = type("Slow", (Lines,), {"run": staticmethod(overtaken)})
    monkeypatch.setattr(reproduce, "load_experiment", lambda name: slow if name == "lines" else Lines)
    reproduce.reproduce("lines", tmp_path)
    assert seen == [0, 1, 5, 5, 5]
