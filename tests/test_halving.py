"""Halving of trials: the best quarter of every row goes on, and nothing but valid chooses."""

from collections import Counter
from dataclasses import replace

import pytest

from linmem import cli
from linmem.experiments import table2_fair
from linmem.experiments.harness import choose, plan, reproduce
from linmem.experiments.harness.records import require_records
from linmem.experiments.harness.training import with_epochs
from linmem.experiments.table2.fair import LIMITED, ROWS, draw_trials, plan_runs, weight_count
from linmem.nn.options import ModelOptions
from linmem.runs.options import RunOptions
from linmem.runs.sweep.run_sweep import Outcome
from linmem.storage.atomic import read_lines
from linmem.training.options import TrainingOptions


def trials(count, seed):
    """Runs that differ in their learning rate."""
    return [
        RunOptions("chorales", ModelOptions("rnn", 2), TrainingOptions((k + 1) * 1e-3, max_epochs=100, seed=seed))
        for k in range(count)
    ]


@pytest.fixture
def trained(monkeypatch):
    """The runs that a search trains; a run's loss depends on its rate and, in an order of its own, on its epochs."""
    seen = []

    def train_all(plan, folder, may_diverge):
        plan = list(plan)
        seen.append(plan)
        losses = {one: abs(one.training.learning_rate - 0.01 + one.training.max_epochs * 1e-5) for one in plan}
        losses = {one: None if one.training.learning_rate == 0.003 else loss for one, loss in losses.items()}
        return {
            one: Outcome("", one, "failed" if loss is None else "complete", loss, {}, "", loss is None)
            for one, loss in losses.items()
        }

    monkeypatch.setattr(choose, "train_all", train_all)
    return seen


def test_the_best_quarter_of_every_row_goes_on(trained, tmp_path):
    plans = {"a": trials(16, 0), "b": trials(5, 1)}
    found = choose.search_by_halving(plans, (3, 12), tmp_path)
    assert [Counter(one.training.seed for one in plan) for plan in trained] == [
        {0: 16, 1: 5},
        {0: 4, 1: 2},
        {0: 1, 1: 1},
    ]
    assert [{one.training.max_epochs for one in plan} for plan in trained] == [{3}, {12}, {100}]
    rates = [round(1e3 * one.training.learning_rate) for one in trained[1] if one.training.seed == 0]
    assert sorted(rates) == [8, 9, 10, 11]  # the nearest after 3 epochs
    (best,) = found["a"]
    assert best.options == with_epochs(plans["a"][9], 100)  # 0.01, the nearest after 12 epochs
    (other,) = found["b"]
    assert other.options.training.learning_rate == 0.005  # the nearest of five


def test_a_trial_that_diverged_is_the_last(trained, tmp_path):
    plan = trials(3, 0)
    outcomes = choose.search({"a": plan}, tmp_path)["a"]
    assert [one.loss is None for one in outcomes] == [False, False, True]
    assert choose.best_quarter(plan, outcomes) == [plan[1]]
    assert choose.best_quarter(plan[2:], outcomes[2:]) == plan[2:]  # nothing else is left


def test_without_rungs_every_trial_is_trained_in_full(trained, tmp_path):
    plans = {"a": trials(4, 0)}
    found = choose.search_by_halving(plans, (), tmp_path)
    assert [one.options for one in found["a"]] == plans["a"]
    assert len(trained) == 1
    assert choose.search_by_halving({}, (3,), tmp_path) == {}


@pytest.mark.parametrize(
    ("place", "data", "runs"),
    [
        (0, "jsb_chorales", 16 + 4 + 1),
        (1, "piano_midi", 8 + 2 + 1),
        (2, "nottingham", 16 + 4 + 1),
        (3, "muse_data", 8 + 2 + 1),
    ],
)
def test_all_models_have_the_same_rungs(place, data, runs):
    search = table2_fair.GRIDS["small"].searches[place]
    assert search.data == data
    plans = table2_fair.plan(table2_fair.Config((search,)), 0)
    assert plans.keys() == {(data, row) for row in search.rows} >= {(data, row) for row in ROWS}
    (epochs,) = {
        tuple(one.training.max_epochs for one in plan) for (_, row), plan in plans.items() if row not in LIMITED
    }
    assert len(epochs) == runs
    assert epochs[-2] == 4 * epochs[0] < epochs[-1]


def test_the_control_is_in_the_comparison_of_small_models_alone():
    (jsb, *_) = table2_fair.GRIDS["small"].searches
    plans = plan_runs(jsb, 0)
    small, every = table2_fair.within(plans, table2_fair.SMALL), table2_fair.within(plans, None)
    assert small.keys() == set(ROWS) | LIMITED.keys()
    assert every.keys() == set(ROWS)
    planned = table2_fair.plan(table2_fair.Config((jsb,)), 0)
    for row, without in LIMITED.items():
        assert len(small[row]) == len(small[without]) < len(every[without]) == jsb.trials
        assert all(weight_count(one.model) <= table2_fair.SMALL for one in planned[jsb.data, row])


def test_sets_with_the_same_sizes_have_the_same_trials():
    jsb, *others = table2_fair.GRIDS["small"].searches
    assert all(max(one.weights) <= table2_fair.SMALL < max(jsb.weights) for one in others)
    longest = max((draw_trials(one, 0) for one in others), key=len)
    assert all(draw_trials(one, 0) == longest[: one.trials] for one in others)


@pytest.fixture
def small_smoke(monkeypatch):
    """The smoke search with at most 50,000 weights, therefore one comparison, and two seeds."""
    (search,) = table2_fair.GRIDS["smoke"].searches
    search = replace(search, weights=(12_500, 25_000), seeds=2)
    monkeypatch.setitem(table2_fair.GRIDS, "smoke", table2_fair.Config((search,)))
    return search


def test_a_set_is_searched_by_halving_and_tested_once(small_smoke, tmp_path, capsys):
    search = small_smoke
    cli.main(["reproduce", "table2", "--grid", "smoke", "--out", str(tmp_path)])
    text = capsys.readouterr().out
    results = [record["result"] for record in require_records("table2_fair", tmp_path)]
    assert {one["row"] for one in results} == {"persistence", *search.rows}
    assert {one.get("trials") for one in results} == {None, search.trials}
    assert f"test split read {len(results)} times" in text
    (path,) = (tmp_path / "trials").glob("*.jsonl")
    kept = Counter(one["options"]["training"]["max_epochs"] for one in read_lines(path))
    assert kept == {1: 3 * len(search.rows), 2: search.seeds * len(search.rows)}
    for one in results:
        if one["row"] != "persistence" and one["seed"] == 0:
            assert one["training"]["max_epochs"] == search.max_epochs
            short = [t for t in read_lines(path) if t["options"]["training"]["max_epochs"] == 1]
            own = [t for t in short if t["options"]["model"]["model"] == one["model"]["model"]]
            own = [t for t in own if t["options"]["pretraining"]["pretrain"] == one["pretraining"]["pretrain"]]
            best = min(own, key=lambda t: t["valid_loss"])
            assert best["options"]["training"] | {"max_epochs": 2} == one["training"]


def test_the_seeds_of_a_halved_search_share_the_choice(small_smoke, tmp_path):
    reproduce.reproduce("table2_fair", tmp_path, grid="smoke")
    results = [record["result"] for record in require_records("table2_fair", tmp_path)]
    first, second = (one["training"] for one in results if one["row"] == "LSTM")
    assert first | {"seed": 1} == second


def test_each_comparison_is_halved_on_its_own(tmp_path, monkeypatch):
    (search,) = table2_fair.GRIDS["smoke"].searches
    search = replace(search, rows=("GRU",), trials=8)
    sizes = [values["weights"] for values in draw_trials(search, 0)]
    assert len(set(sizes)) == 2
    monkeypatch.setitem(table2_fair.GRIDS, "smoke", table2_fair.Config((search,)))
    reproduce.reproduce("table2_fair", tmp_path, grid="smoke")
    (path,) = (tmp_path / "trials").glob("*.jsonl")
    kept = read_lines(path)
    short = [one for one in kept if one["options"]["training"]["max_epochs"] == 1]
    assert len(short) == search.trials
    expected = set()
    for limit in (table2_fair.SMALL, None):
        own = [one for one in short if limit is None or weight_count(ModelOptions(**one["options"]["model"])) <= limit]
        best = sorted(own, key=lambda one: one["valid_loss"])[: choose.quarter(len(own))]
        expected |= {one["options"]["training"]["learning_rate"] for one in best}
    full = [one for one in kept if one["options"]["training"]["max_epochs"] == 2]
    assert {one["options"]["training"]["learning_rate"] for one in full} == expected


def test_the_plan_counts_a_short_run_with_its_limit_of_epochs(monkeypatch):
    monkeypatch.setattr(plan, "measure_epoch", lambda options: plan.Cost(0.0, 36.0))
    runs = [with_epochs(one, epochs) for one, epochs in zip(trials(2, 0), (3, 500), strict=True)]
    row = plan._row("chorales", "RNN", runs)
    assert row["core-hours at 100 epochs"] == pytest.approx(1.03)
    assert row["core-hours at the limit of epochs"] == pytest.approx(5.03)
