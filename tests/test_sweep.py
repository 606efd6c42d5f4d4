"""Sweeps: each run is done once and equals a single run, when processes are killed and when several share the work."""

import json
import os
import random
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("optuna")

from linmem.runs import runner
from linmem.runs.sweep import space
from linmem.runs.sweep.run_sweep import name_of, sweep
from linmem.runs.sweep.study import Study
from linmem.training.loop import DivergenceError
from tests.crash.processes import FORKSERVER

PATIENCE = 300  # seconds; a few suffice on an idle machine


def logged_sweep(start, log, *arguments, **how):
    """`sweep` that writes a line to `log` for every run, and starts together with the others."""
    single, begun = runner.run, []

    def logged(options, folder, **how):
        with open(log, "a") as file:
            file.write(f"{folder.name} {os.getpid()}\n")
        if not begun:
            start.wait(PATIENCE)  # until every process has a run
        begun.append(folder)
        return single(options, folder, **how)

    runner.run = logged
    start.wait(PATIENCE)
    sweep(*arguments, **how)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    folder, generator = tmp_path_factory.mktemp("pieces"), np.random.default_rng(0)
    for index in range(8):
        np.save(folder / f"{index}.npy", (generator.random((12, 88)) < 0.05).astype(np.float32))
    return folder


def plan(pieces, count, epochs=3, **more):
    return space.plan(
        str(pieces), {"model": "gru", "hidden_size": 3, "seed": list(range(count)), "max_epochs": epochs, **more}
    )


def without_times(result):
    return {name: value for name, value in result.items() if not name.startswith("seconds")}


def test_runs_of_a_sweep_equal_single_runs(pieces, tmp_path):
    rows = space.plan(str(pieces), space.GRIDS["smoke"])
    outcomes = sweep(rows, tmp_path / "sweep")
    assert [one.options for one in outcomes] == rows
    assert {one.state for one in outcomes} == {"complete"}
    assert len({one.name for one in outcomes}) == len(rows)
    for one in outcomes[-2:]:
        runner.run(one.options, tmp_path / one.name)
        alone = json.loads((tmp_path / one.name / "scores.json").read_text())
        assert without_times(one.result) == without_times(alone) | {
            "pretraining_seconds": one.result["pretraining_seconds"]
        }
        assert one.loss == alone["scores"]["nll"]
    kept = [json.loads(line) for line in (tmp_path / "sweep" / "results.jsonl").read_text().splitlines()]
    assert [row["loss"] for row in kept] == [one.loss for one in outcomes]


def test_killed_at_random_moments_a_sweep_keeps_finished_runs_and_repeats_none(pieces, tmp_path):
    rows, moments, finished, killed = plan(pieces, 12, epochs=100), random.Random(0), {}, 0
    while killed < 10:
        process = FORKSERVER.Process(target=sweep, args=(rows, tmp_path))
        process.start()
        time.sleep(moments.uniform(0.02, 0.3))
        process.kill()
        process.join()
        killed += process.exitcode == -9
        if process.exitcode == 0:
            break
        for name in [name_of(row) for row in rows]:
            files = [tmp_path / name / file for file in ("state.safetensors", "scores.json")]
            if files[1].exists():
                finished.setdefault(name, [file.stat().st_mtime_ns for file in files])
    assert killed == 10, "the runs are too short to be killed"
    outcomes = sweep(rows, tmp_path)
    assert [one.state for one in outcomes] == ["complete"] * len(rows)
    assert Study(str(tmp_path / "study.journal"), "sweep", "reader").finished() == {name_of(row) for row in rows}
    for name, times in finished.items():
        assert [(tmp_path / name / file).stat().st_mtime_ns for file in ("state.safetensors", "scores.json")] == times
    for one in outcomes:
        assert len((tmp_path / one.name / "history.jsonl").read_text().splitlines()) == one.result["epochs"]
    cut = next(one for one in outcomes if one.name not in finished)
    runner.run(cut.options, tmp_path / "whole")
    assert cut.loss == json.loads((tmp_path / "whole" / "scores.json").read_text())["scores"]["nll"]


@pytest.mark.parametrize(
    ("storage", "folders"),
    [("{}/study.journal", "aa"), ("sqlite:///{}/study.db", "ab")],
    ids=["journal, one folder", "database, two folders"],
)
def test_two_processes_share_a_study_and_do_each_run_once(pieces, tmp_path, storage, folders):
    rows, log, start = plan(pieces, 6, epochs=20), tmp_path / "log", FORKSERVER.Barrier(len(folders))
    storage = storage.format(tmp_path)
    processes = [
        FORKSERVER.Process(target=logged_sweep, args=(start, log, rows, tmp_path / folder), kwargs={"storage": storage})
        for folder in folders
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
    assert [process.exitcode for process in processes] == [0, 0]
    done = [line.split() for line in log.read_text().splitlines()]
    assert sorted(name for name, _ in done) == sorted(name_of(row) for row in rows)
    assert len({process for _, process in done}) == 2
    assert {one.state for one in sweep(rows, tmp_path / "a", storage=storage)} == {"complete"}


def started(storage, owner, names, start, found):
    study = Study(storage, "race", owner)
    look = study.trials
    study.trials = lambda: (look(), time.sleep(0.05))[0]  # between looking and starting
    start.wait(PATIENCE)
    found.put([name for name in names if study.start(name, {})])


@pytest.mark.parametrize("storage", ["{}/study.journal", "sqlite:///{}/study.db"], ids=["journal", "database"])
def test_of_several_folders_that_start_a_run_at_once_one_does(tmp_path, storage):
    storage, names = storage.format(tmp_path), [f"run{index}" for index in range(5)]
    start, found = FORKSERVER.Barrier(3), FORKSERVER.Queue()
    processes = [FORKSERVER.Process(target=started, args=(storage, owner, names, start, found)) for owner in "abc"]
    for process in processes:
        process.start()
    got = [name for _ in processes for name in found.get(timeout=PATIENCE)]
    for process in processes:
        process.join(PATIENCE)
    assert sorted(got) == sorted(names)


def test_the_result_of_a_process_that_took_a_run_over_counts(tmp_path):
    slow, quick = (Study(str(tmp_path / "study.journal"), "sweep", owner) for owner in "ab")
    assert slow.start("run", {"hidden_size": 3})
    assert not quick.start("run", {})
    assert quick.start("run", {}, take_over=True)
    slow.complete("run", 2.0, {})
    assert quick.finished() == set()
    quick.complete("run", 1.0, {})
    assert quick.trials()["run"].value == 1.0
    assert not slow.start("run", {}, take_over=True)
    assert len(quick.trials()) == 1


def test_a_run_whose_process_was_killed_starts_again_in_its_folder(tmp_path):
    killed = Study(str(tmp_path / "study.journal"), "sweep", "a")
    assert killed.start("run", {})
    again = Study(str(tmp_path / "study.journal"), "sweep", "a")
    assert again.start("run", {})
    again.fail("run", "Traceback: no memory", "MemoryError")
    assert again.finished() == {"run"}
    assert not killed.start("run", {})


def test_a_diverged_run_is_told_from_other_failures(pieces, tmp_path, monkeypatch):
    errors = iter([DivergenceError("training loss must be finite"), RuntimeError("DivergenceError is only text here")])

    def fail(*_, **__):
        raise next(errors)

    monkeypatch.setattr(runner, "run", fail)
    assert [(one.state, one.diverged) for one in sweep(plan(pieces, 2), tmp_path)] == [
        ("failed", True),
        ("failed", False),
    ]


def test_a_failed_run_is_recorded_with_its_traceback_and_the_others_are_done(pieces, tmp_path):
    rows = space.plan(str(pieces), {"model": ["lstm", "lmn-delay"], "max_epochs": 1, "pretrain": ["none", "inputs"]})
    outcomes = sweep(rows, tmp_path)
    assert [one.state for one in outcomes] == ["complete", "failed", "complete", "failed"]
    for one in outcomes[1::2]:
        assert one.error.startswith("Traceback")
        assert "model must be one of lmn-b, lmn-detach, rnn with pretrain=inputs" in one.error
        assert one.loss is None
    assert "2 complete, 2 failed" in (tmp_path / "table.md").read_text()
    before = (tmp_path / outcomes[0].name / "state.safetensors").stat().st_mtime_ns
    assert [one.state for one in sweep(rows, tmp_path)] == [one.state for one in outcomes]
    assert (tmp_path / outcomes[0].name / "state.safetensors").stat().st_mtime_ns == before


def test_a_larger_plan_does_only_the_new_runs(pieces, tmp_path):
    sweep(plan(pieces, 2), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("state.safetensors")}
    assert len(sweep(plan(pieces, 4), tmp_path)) == 4
    assert before.items() <= {path: path.stat().st_mtime_ns for path in tmp_path.rglob("state.safetensors")}.items()
    assert len(before) == 2


def test_a_run_of_another_folder_is_left_alone_until_it_is_taken_over(pieces, tmp_path):
    rows, journal = plan(pieces, 2), str(tmp_path / "study.journal")
    elsewhere = Study(journal, "sweep", "another folder")
    assert elsewhere.start(name_of(rows[0]), {})
    assert [one.state for one in sweep(rows, tmp_path / "a", storage=journal)] == ["running", "complete"]
    assert [one.state for one in sweep(rows, tmp_path / "a", storage=journal, take_over=True)] == ["complete"] * 2


def test_an_incomplete_last_line_of_the_journal_is_removed(pieces, tmp_path):
    rows = plan(pieces, 2)
    sweep(rows[:1], tmp_path)
    with open(tmp_path / "study.journal", "ab") as file:
        file.write(b'{"op_code":8,"worker_id":"' + b"x" * 9000)
    assert [one.state for one in sweep(rows, tmp_path)] == ["complete"] * 2


def test_a_file_that_is_no_journal_is_refused_and_left_alone(pieces, tmp_path):
    (tmp_path / "poem").write_text("Tyger Tyger, burning bright,\nIn the forests of the night;\n")
    with pytest.raises(ValueError, match="poem must be a journal of Optuna"):
        sweep(plan(pieces, 1), tmp_path / "out", storage=str(tmp_path / "poem"))
    assert (tmp_path / "poem").read_text().startswith("Tyger")


def test_the_name_of_a_run_depends_on_all_its_options(pieces):
    first, second = plan(pieces, 2)
    assert name_of(first) == name_of(plan(pieces, 5)[0]) != name_of(second)
    assert len(name_of(first)) == 16


@pytest.mark.parametrize("storage", ["nosql://here", "sqlite:////no/such/folder/x.db"])
def test_a_storage_that_does_not_open_is_refused(pieces, tmp_path, storage):
    with pytest.raises(ValueError, match="storage must be a database that opens"):
        sweep(plan(pieces, 1), Path(tmp_path), storage=storage)
