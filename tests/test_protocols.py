"""Table 2's protocols: "paper" has the published options and no others; "fair" gives every model the same trials."""

import json
import re
from dataclasses import replace
from itertools import product

import pytest

from linmem import cli
from linmem.experiments import table2_fair, table2_paper
from linmem.experiments.harness import plan, reproduce
from linmem.experiments.harness.records import require_records
from linmem.experiments.harness.repeat import repeat_trials
from linmem.experiments.table2 import fair
from linmem.experiments.table2.as_published import plan_runs
from linmem.experiments.table2.fair import AXES, ROWS, Search, largest, weight_count
from linmem.nn.options import ModelOptions
from linmem.nn.registry import build_model
from linmem.runs.options import RunOptions
from linmem.storage.atomic import read_lines
from linmem.training.loop import DivergenceError
from linmem.training.options import TrainingOptions

UNITS = (50, 100, 250, 500, 750)
PAIRS = ((50, 50), (50, 100), (100, 100), (100, 250), (250, 250), (250, 500))
L2 = {0.0, 1e-7, 1e-6, 1e-5, 1e-4}


@pytest.fixture(scope="module")
def paper():
    part = next(one for one in table2_paper.GRIDS["paper"].parts if one.data == "jsb_chorales")
    return plan_runs(part, 0)


def test_the_paper_protocol_has_all_published_sizes_and_penalties(paper):
    networks, memories = ("RNN", "pret-RNN", "LSTM", "GRU"), ("LMN-A", "LMN-B", "pret-LMN-B")
    assert paper.keys() == {*networks, *memories}
    for row in networks:
        assert {(o.model.hidden_size, o.training.weight_decay) for o in paper[row]} == set(product(UNITS, L2))
    for row in memories:
        tried = {(o.model.hidden_size, o.model.memory_size, o.training.weight_decay) for o in paper[row]}
        assert tried == {(*pair, penalty) for pair, penalty in product(PAIRS, L2)}
    assert {row: len(runs) for row, runs in paper.items()} == {
        **dict.fromkeys(networks, 25),
        **dict.fromkeys(memories, 30),
        "LSTM": 50,  # forget bias 0 and 1
    }
    assert {o.model.forget_bias for o in paper["LSTM"]} == {0, 1}


@pytest.mark.parametrize(("grid", "most"), [("up_to_100", 100), ("up_to_250", 250), ("small", 750)])
def test_smaller_grids_are_parts_of_the_paper_protocol_with_controls(grid, most, paper):
    (part,) = table2_paper.GRIDS[grid].parts
    runs_by_row = plan_runs(part, 0)
    for row in ("LMN-A", "LMN-B"):
        limited = [replace(o, model=replace(o.model, limit_norms=True)) for o in runs_by_row[row]]
        assert runs_by_row.pop(f"{row}, limited norms") == limited  # our controls
    assert runs_by_row.keys() == paper.keys()
    for row, runs in runs_by_row.items():
        assert runs == [o for o in paper[row] if max(o.model.hidden_size, "LMN" in row and o.model.memory_size) <= most]


def test_the_paper_protocol_has_one_rate_for_all_weights_and_nothing_that_is_ours(paper):
    for row, runs in paper.items():
        for o in runs:
            assert (o.training.learning_rate, o.training.memory_lr_scale) == (1e-3, 1)
            assert (o.training.ema_decay, o.training.truncate, o.training.transpose) == (0, 0, 0)
            assert (o.model.input_dropout, o.model.readout_dropout, o.model.skip_connection) == (0, 0, False)
            assert (o.model.nonlinearity, o.model.lag_decay, o.model.limit_norms) == ("tanh", (), False)
            assert o.model.weight_init == ("uniform" if "LMN" in row else "default")
            assert o.pretraining.output_bias_init == "default"
            assert o.training.max_epochs >= 1000
            schemes = {"pret-RNN": "inputs", "pret-LMN-B": "unfolded"}
            assert o.pretraining.pretrain == schemes.get(row, "none")
        if row == "pret-LMN-B":
            assert {(o.model.lags, o.pretraining.unfolded_nonlinearity) for o in runs} == {(10, "selu")}
            assert {o.pretraining.memory_decay for o in runs} == {1}
    assert {one.data for one in table2_paper.GRIDS["paper"].parts} == {
        "jsb_chorales",
        "muse_data",
        "nottingham",
        "piano_midi",
    }


@pytest.mark.parametrize("grid", ["small", "paper"])
def test_every_model_gets_the_same_trials_on_the_axes_that_it_has(grid):
    for search in table2_fair.GRIDS[grid].searches:
        plans, drawn = fair.plan_runs(search, 3), fair.draw_trials(search, 3)
        assert plans.keys() == set(search.rows) >= set(ROWS)
        assert len(drawn) == search.trials
        assert fair.draw_trials(search, 3) == drawn != fair.draw_trials(search, 4)
        for runs in plans.values():
            for o, values in zip(runs, drawn, strict=True):
                for name in ("learning_rate", "weight_decay", "transpose"):
                    assert getattr(o.training, name) == values[name] in AXES[name]
                for name in ("input_dropout", "readout_dropout"):
                    assert getattr(o.model, name) == values[name]
        same = {tuple(json.dumps(vars(o.training) | {"memory_lr_scale": 0}) for o in runs) for runs in plans.values()}
        assert len(same) == 1  # training differs by nothing but W_mm's rate
        for row in ("LMN-A", "LMN-B", "pret-LMN-B", "LMN-B, diagonal"):
            assert [o.training.memory_lr_scale for o in plans[row]] == [values["memory_lr_scale"] for values in drawn]


def test_the_control_of_fair_differs_by_the_limits_on_norms_alone():
    searches = {one.data: one for one in table2_fair.GRIDS["small"].searches}
    for name in ("jsb_chorales", "piano_midi"):
        assert searches[name].rows == (*ROWS, *fair.LIMITED)
        plans = fair.plan_runs(searches[name], 3)
        for row, without in fair.LIMITED.items():
            assert row == f"{without}, limited norms"
            assert not any(o.model.limit_norms for o in plans[without])
            limited = [replace(o, model=replace(o.model, limit_norms=True)) for o in plans[without]]
            assert plans[row] == limited


@pytest.mark.parametrize("row", ROWS)
def test_a_model_fills_its_number_of_weights(row):
    search = Search("chorales", 1, 1, 1)
    values = {name: choices[0] for name, choices in AXES.items()} | {"weights": 50_000}
    chosen = fair.run_options(row, values, search, 0).model
    assert weight_count(chosen) <= 50_000
    ratio = chosen.memory_size / chosen.hidden_size
    one_more = ModelOptions(
        **{**vars(chosen), "hidden_size": chosen.hidden_size + 1},
    )
    one_more = ModelOptions(
        **{**vars(one_more), "memory_size": max(1, round(values["memory_ratio"] * one_more.hidden_size))}
    )
    assert weight_count(one_more) > 50_000
    assert ratio == pytest.approx(values["memory_ratio"], abs=0.02) or "LMN" not in row
    model = build_model(chosen, 88, 88)
    solved = sum(b.numel() for name, b in model.named_buffers() if name.endswith((".A", ".B")))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert weight_count(chosen) == trained + (solved if row == "solved" else 0)
    with pytest.raises(ValueError, match="weights must be enough for a"):
        largest(chosen, 10, 1.0)


def test_fair_chooses_on_valid_once_among_all_and_once_among_the_small(tmp_path, monkeypatch):
    (search,) = table2_fair.GRIDS["smoke"].searches
    search = replace(search, trials=2, rungs=())
    monkeypatch.setitem(table2_fair.GRIDS, "smoke", table2_fair.Config((search,)))
    seed = next(s for s in range(99) if len({values["weights"] for values in fair.draw_trials(search, s)}) == 2)
    text = reproduce.reproduce("table2_fair", tmp_path, grid="smoke", seed=seed)
    results = [record["result"] for record in require_records("table2_fair", tmp_path)]
    (trials_path,) = (tmp_path / "trials").glob("*.jsonl")
    trials = read_lines(trials_path)
    assert len(trials) == 2 * len(table2_fair.SMOKE_ROWS)
    for protocol in table2_fair.PROTOCOLS:
        rows = {one["row"]: one for one in results if one["protocol"] == protocol and one["row"] != "persistence"}
        assert rows.keys() == set(table2_fair.SMOKE_ROWS)
        assert f"**chorales:8:4:4, {protocol} protocol**" in text
    small, best = ({o["row"]: o for o in results if o["protocol"] == p} for p in table2_fair.PROTOCOLS)
    for row in table2_fair.SMOKE_ROWS:
        assert best[row]["valid"]["nll"] <= small[row]["valid"]["nll"]
        assert (small[row]["trials"], best[row]["trials"]) == (1, 2)
        assert weight_count(ModelOptions(**small[row]["model"])) <= table2_fair.SMALL
    losses = {one["valid_loss"] for one in trials}
    assert {one["valid"]["nll"] for one in best.values() if "valid" in one} <= losses


def test_kept_trials_are_repeated_to_the_last_digit(tmp_path, monkeypatch, capsys):
    (search,) = table2_fair.GRIDS["smoke"].searches
    search = replace(search, trials=1, rungs=(), rows=("GRU", "solved"))
    monkeypatch.setitem(table2_fair.GRIDS, "smoke", table2_fair.Config((search,)))
    reproduce.reproduce("table2_fair", tmp_path, grid="smoke")
    cli.main(["reproduce", "table2", "--protocol", "fair", "--out", str(tmp_path), "--repeat", "9"])
    assert "2 of 2 trials have the same loss on valid, to the last digit." in capsys.readouterr().out
    (path,) = (tmp_path / "trials").glob("*.jsonl")
    first, *others = read_lines(path)
    first["valid_loss"] += 1e-9
    path.write_text("".join(json.dumps(one) + "\n" for one in (first, *others)))
    text = repeat_trials("table2_fair", tmp_path, 2)
    assert "1 of 2 trials have the same loss" in text
    assert [first["name"] in line for line in text.splitlines() if line.endswith("| no    |")] == [True]
    assert repeat_trials("table2_fair", tmp_path, 1).count("chorales:8:4:4") == 1
    path.write_text("")
    with pytest.raises(ValueError, match="trials must have trials of table2_fair, got none"):
        repeat_trials("table2_fair", tmp_path, 1)
    path.write_text('{"name": "x"}\n')
    with pytest.raises(ValueError, match="must be kept trials, got: KeyError: 'options'. Remove the file"):
        repeat_trials("table2_fair", tmp_path, 1)
    with pytest.raises(ValueError, match="repeat must be at least 1, got 0"):
        repeat_trials("table2_fair", tmp_path, 0)


def test_without_seeds_the_search_is_shown_on_valid_and_test_is_not_read(tmp_path, monkeypatch):
    (search,) = table2_fair.GRIDS["smoke"].searches
    search = replace(search, trials=1, seeds=0, rows=("GRU",))
    monkeypatch.setitem(table2_fair.GRIDS, "smoke", table2_fair.Config((search,)))
    text = reproduce.reproduce("table2_fair", tmp_path, grid="smoke")
    assert "test split read 0 times" in text
    results = [record["result"] for record in require_records("table2_fair", tmp_path)]
    assert {one["row"] for one in results} == {"GRU"}
    assert all("test" not in one for one in results)
    assert f"{results[-1]['valid']['nll']:.2f}" in text


def test_the_plan_counts_runs_and_states_their_cost(capsys, monkeypatch):
    measured = []
    monkeypatch.setattr(plan, "measure_epoch", lambda options: measured.append(options) or plan.Cost(360.0, 36.0))
    cli.main(["reproduce", "table2", "--grid", "smoke", "--dry_run"])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[4:]]
    assert [row[1] for row in rows] == [*table2_fair.SMOKE_ROWS, ""]
    assert len(measured) == len(table2_fair.SMOKE_ROWS)
    # 3 runs of 1 epoch and one of 2
    assert all(row[2:] == ["4", "0", "360.00", "36.00", "0.45", "0.45"] for row in rows[:-1])
    assert rows[-1][2:] == ["16", "–", "–", "–", "1.80", "1.80"]


def test_a_run_that_diverges_is_counted_and_another_one_measured(monkeypatch):
    measured = []

    def measure(options):
        measured.append(options.model.model)
        if measured[-1] == "lstm" or measured.count("lmn-b") == 1:
            raise DivergenceError
        return plan.Cost(360.0, 36.0)

    monkeypatch.setattr(plan, "measure_epoch", measure)
    lines = plan.plan_table("table2_fair", "smoke").splitlines()[4:]
    found = {row[1]: row[3:] for row in ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)}
    assert found["LSTM"] == ["4", "–", "–", "–", "–"]  # every run diverges
    assert found["LMN-B"] == ["1", "360.00", "36.00", "0.45", "0.45"]  # the first one
    assert found[""][-2:] == ["1.35", "1.35"]


def test_the_cost_of_an_epoch_is_measured():
    options = RunOptions("chorales:4:4:4", ModelOptions("rnn", 2), TrainingOptions(max_epochs=500))
    cost = plan.measure_epoch(options)
    assert 0 < cost.per_epoch < 60
    assert 0 < cost.once < 60


def test_a_protocol_belongs_to_table_2(capsys):
    assert cli.main(["reproduce", "table1", "--protocol", "fair"]) != 0
    assert re.search("protocol must be one of fair, paper with the name table2", capsys.readouterr().err)
