"""Work that lasts: done once, whoever dies, and shared by whoever comes."""

import json
import shutil
from contextlib import nullcontext

import pytest

from linmem.experiments.harness import jobs as queue
from linmem.experiments.harness import reproduction

from .test_sweep import FRESH, PATIENCE


def job(log, value):
    with open(log, "a") as file:
        file.write(f"{value}\n")
    return {"value": value}


def jobs(log, count=20):
    return {f"job{index}": lambda index=index: job(log, index) for index in range(count)}


def work_on(folder, log, start):
    start.wait(PATIENCE)
    assert [one["value"] for one in queue.shared(folder, jobs(log)).values()] == list(range(20))


def test_processes_share_jobs_and_all_get_everything(tmp_path):
    log, start = tmp_path / "log", FRESH.Barrier(3)
    processes = [FRESH.Process(target=work_on, args=(tmp_path / "work", log, start)) for _ in range(3)]
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
            raise OSError("out of luck")
        return job(log, 3)

    todo = jobs(log, 3) | {"fragile": fragile}
    with pytest.raises(OSError, match="out of luck"):
        queue.shared(tmp_path, todo)
    broken.append(False)
    assert queue.shared(tmp_path, todo)["fragile"] == {"value": 3}
    assert log.read_text().split() == ["0", "1", "2", "3"]


def test_what_another_process_has_at_hand_is_waited_for(tmp_path, monkeypatch):
    tries = []

    def busy(path, wait):
        tries.append(wait)
        if wait:
            (tmp_path / "only.json").write_text("7")  # the other one is done
        return nullcontext(wait)

    monkeypatch.setattr(queue, "held", busy)
    assert queue.shared(tmp_path, {"only": lambda: pytest.fail("it was done twice")}) == {"only": 7}
    assert tries == [False, True]


class Lines:
    """An experiment of five lines that may be cut."""

    TITLE, CONFIGS = "Lines", {"smoke": {}, "paper": {}}
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


def test_an_experiment_that_was_cut_keeps_its_lines_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduction, "experiment_named", lambda name: Lines)
    monkeypatch.setattr(Lines, "cut_at", 3)
    with pytest.raises(KeyboardInterrupt):
        reproduction.reproduce("lines", tmp_path, seed=4)
    assert "0 1 2\n\nnot finished: grid paper, seed 4" in reproduction.shown("lines", tmp_path)
    before = (tmp_path / "lines.jsonl").read_text().splitlines()
    monkeypatch.setattr(Lines, "cut_at", None)
    assert "0 1 2 3 4\n\ngrid paper, seed 4" in reproduction.reproduce("lines", tmp_path)
    after = (tmp_path / "lines.jsonl").read_text().splitlines()
    assert after[:3] == before
    assert [json.loads(line)["result"]["index"] for line in after] == list(range(5))
    monkeypatch.setattr(Lines, "run", None)
    assert "0 1 2 3 4" in reproduction.reproduce("lines", tmp_path)


def test_a_process_that_lags_behind_takes_no_lines_away(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduction, "experiment_named", lambda name: Lines)
    path, seen = tmp_path / "lines.jsonl", []

    def overtaken(config, seed, folder):
        for line in Lines.run(config, seed, folder):
            seen.append(len(path.read_text().splitlines()) if path.exists() else 0)
            if line["index"] == 1:  # another process does it all in between
                reproduction.reproduce("other", tmp_path)
                shutil.copy(tmp_path / "other.jsonl", path)
            yield line

    slow = type("Slow", (Lines,), {"run": staticmethod(overtaken)})
    monkeypatch.setattr(reproduction, "experiment_named", lambda name: slow if name == "lines" else Lines)
    reproduction.reproduce("lines", tmp_path)
    assert seen == [0, 1, 5, 5, 5]
