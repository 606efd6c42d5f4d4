"""Time to a score: computed from known histories; existing runs are read, not trained again."""

import json
from dataclasses import replace

import pytest

from linmem.experiments import time
from linmem.runs.directory import HISTORY
from linmem.runs.sweep.run_sweep import Outcome
from linmem.storage.atomic import read_lines

LSTM = {"nll": [9.0, 8.0, 8.5], "accuracy": [20.0, 25.0, 26.0], "cpu_seconds": [10.0, 20.0, 30.0]}


def line(model, seed=0, **values):
    known = {
        "set": "jsb_chorales",
        "model": model,
        "seed": seed,
        "parameters": 7,
        "dropout": [0.1, 0.3],
        "pretraining_seconds": 0.0,
    }
    return known | LSTM | values


def test_a_model_is_as_fast_as_itself():
    for score, seconds in (("nll", 20.0), ("accuracy", 30.0)):
        itself = time.reached(LSTM, LSTM, score)
        assert (itself.seconds, itself.ratio) == (seconds, 1.0)


def test_the_first_epoch_that_is_good_enough_counts_and_one_that_never_is_has_no_time():
    other = {"nll": [8.1, 8.0, 7.0], "accuracy": [20.0, 25.0, 25.9], "cpu_seconds": [6.0, 8.0, 12.0]}
    assert time.reached(LSTM, other, "nll") == (8.0, 20.0, 8.0)
    assert time.reached(LSTM, other, "nll").ratio == 2.5
    assert time.reached(LSTM, other, "accuracy") == (26.0, 30.0, None)
    assert time.reached(LSTM, other, "accuracy").ratio is None


def test_nearly_as_good_is_reached_earlier_by_both():
    other = {"nll": [8.1, 8.0, 7.0], "accuracy": [20.0, 25.0, 25.9], "cpu_seconds": [6.0, 8.0, 12.0]}
    assert time.reached(LSTM, other, "nll", 0.1)[1:] == (20.0, 6.0)
    assert time.reached(LSTM, other, "nll", 1.0)[1:] == (10.0, 6.0)
    assert time.reached(LSTM, other, "accuracy", 1.0)[1:] == (20.0, 8.0)


def test_seeds_are_compared_with_their_own_lstm_and_one_miss_is_a_miss():
    lines = [line("LSTM"), line("LMN-B", nll=[8.5, 8.5, 7.9]), line("LSTM", 1, nll=[9.0, 8.9, 8.6])]
    lines.append(line("LMN-B", 1, nll=[8.7, 8.6, 8.0]))
    assert [one.ratio for one in time.compare(lines, "jsb_chorales", "LMN-B", "nll")] == [20 / 30, 30 / 20]
    verdicts = {one.statement: (one.reached, one.found) for one in time.targets(lines)}
    assert verdicts["jsb_chorales: LMN-B reaches the LSTM's best NLL on valid in less CPU time"] == (
        False,
        "1.08 (0.67 … 1.50), 2 of 2 seeds",
    )
    lines[1]["nll"] = [8.5, 8.5, 8.1]
    assert time.targets(lines)[0].reached is False
    lines[1]["nll"] = [7.9, 8.5, 8.1]
    assert time.targets(lines)[0].reached is True
    assert time.targets([])[0].reached is None


def test_the_dropout_with_the_lowest_loss_of_the_first_seed_is_taken_for_all(tmp_path, monkeypatch):
    losses = {0.1: 8.5, 0.2: 8.4}

    def trained(plan, folder, **_):
        folder.mkdir(exist_ok=True)
        for one in plan:
            row = {"valid_loss": 8.0, "valid": {"accuracy": 0.3}, "cpu_seconds": 1.0}
            (folder / str(one.training.seed)).mkdir(exist_ok=True)
            (folder / str(one.training.seed) / HISTORY).write_text(json.dumps(row))
        result = {"parameters": 7, "best_epoch": 1}
        return {
            one: Outcome(str(one.training.seed), one, "complete", losses[one.model.input_dropout], result, "")
            for one in plan
        }

    monkeypatch.setattr(time, "train_all", trained)
    config = time.GRIDS["small"]
    lines = list(time.run(config, 5, tmp_path))
    assert [line["seed"] for line in lines] == [5] * 3 + [6] * 3 + [7] * 3
    assert all(line["dropout"] == [0.2, 0.5] and line["trials"] == 2 for line in lines)


def test_runs_are_kept_and_any_part_of_the_lines_is_shown(tmp_path, monkeypatch):
    config = time.GRIDS["smoke"]
    lines = list(time.run(config, 0, tmp_path))
    assert [one["model"] for one in lines] == ["LSTM", "LMN-B", "pretrained LMN-B"]
    assert [one["pretraining_seconds"] > 0 for one in lines] == [False, False, True]
    for one in lines:
        assert one["cpu_seconds"] == sorted(one["cpu_seconds"])
        assert one["cpu_seconds"][0] > one["pretraining_seconds"]
    kept = [read_lines(path) for path in tmp_path.glob(f"*/{HISTORY}")]
    spent = sum(row["cpu_seconds"] for rows in kept for row in rows)
    assert sum(one["cpu_seconds"][-1] - one["pretraining_seconds"] for one in lines) == pytest.approx(spent, abs=0.02)
    monkeypatch.setattr("linmem.runs.runner.run", lambda *_, **__: pytest.fail("the model was trained again"))
    assert list(time.run(config, 0, tmp_path)) == lines
    for count in (1, 3):
        assert time.show(lines[:count], tmp_path).count("| chorales") == 2 * count
    assert (tmp_path / "time.png").stat().st_size > 10_000


def test_all_trials_are_kept_with_their_options_and_scores_on_valid(tmp_path):
    work = tmp_path / "work" / "time-smoke-0"
    config = replace(time.GRIDS["smoke"], dropout=((0.1, 0.3), (0.2, 0.5)))
    lines = list(time.run(config, 0, work))
    trials = read_lines(tmp_path / "trials" / "time-smoke-0.jsonl")
    assert len(trials) == 2 * len(time.MODELS) > len(lines)  # also the dropout that was not chosen
    for one in trials:
        assert one["state"] == "complete"
        assert one["valid_loss"] == pytest.approx(one["summary"]["scores"]["nll"])
        assert "test" not in json.dumps(one["summary"])
    rates = [tuple(one["options"]["model"][key] for key in ("input_dropout", "readout_dropout")) for one in trials]
    assert sorted(set(rates)) == [(0.1, 0.3), (0.2, 0.5)]
