"""Experiments: each runs its smoke grid, is shown from its records alone, and agrees with known facts."""

import json
import os
import shutil
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from linmem import data
from linmem.data.sealed import SealedTestError
from linmem.data.synthetic import waveform
from linmem.experiments import capacity, parameters, table1
from linmem.experiments.harness import reads_of_test, reproduce
from linmem.experiments.harness.catalog import EXPERIMENTS, load_experiment
from linmem.experiments.harness.cpu_time import CPUMeter, cpu_seconds
from linmem.experiments.harness.epoch_limit import at_epoch_limit, epoch_limit_text
from linmem.experiments.harness.fingerprint import code_fingerprint
from linmem.experiments.harness.reads_of_test import READS
from linmem.experiments.harness.records import require_records, write_records
from linmem.experiments.harness.summarize import column, select
from linmem.reporting.tables import mean_std
from linmem.storage.atomic import read_lines

# The papers' autoencoder weights all lags alike, and experiments evaluate it on longer sequences too.
pytestmark = pytest.mark.filterwarnings("ignore:sequences should have at most")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    return folder, {name: reproduce.reproduce(name, folder, grid="smoke") for name in EXPERIMENTS}


def lines_of(results, name):
    return [record["result"] for record in require_records(name, results[0])]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_what_was_run_is_shown_from_its_lines_and_not_run_again(results, name, monkeypatch):
    folder, texts = results
    monkeypatch.setattr(reproduce, "_measure", lambda *_: pytest.fail("the experiment ran again"))
    before = (folder / f"{name}.jsonl").read_bytes()
    assert reproduce.reproduce(name, folder, grid="smoke") == texts[name]
    assert (folder / f"{name}.md").read_text() == texts[name] + "\n"
    assert (folder / f"{name}.jsonl").read_bytes() == before
    head = json.loads(before.splitlines()[0])
    assert {"config", "seed", "versions", "commit", "machine", "threads", "seconds"} <= head.keys()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_any_beginning_of_a_run_evaluates_its_targets(results, name):
    lines, targets = lines_of(results, name), load_experiment(name).targets
    measured = set()
    for length in range(len(lines) + 1):
        found = targets(lines[:length])
        assert found
        for one in found:
            assert one.statement
            assert one.expected
            assert (one.found == "–") == (one.reached is None), one  # a figure where it is measured, and only there
        now = {one.statement for one in found if one.reached is not None}
        assert length > 0 or not now
        assert measured <= now or name in ("smnist", "psmnist")  # what was measured stays measured
        measured = now


def test_the_smoke_run_reaches_or_misses_the_targets_that_follow_from_definitions(results):
    found = {
        one.statement: one
        for name in ("parameters", "figure4")
        for one in load_experiment(name).targets(lines_of(results, name))
    }
    fifth = found["LMN(h/2, h/2) has at most one fifth of the weights of LSTM(h)"]
    lines = [line for line in lines_of(results, "parameters") if "lmn" in line]
    assert fifth.reached == all(5 * line["lmn"] <= line["lstm"] for line in lines)
    for source in ("inputs", "hidden states"):
        errors = [one["errors"] for one in select(lines_of(results, "figure4"), part="c", source=source)]
        one = next(one for statement, one in found.items() if statement.startswith(source))
        assert one.reached == all(sum(own[: len(own) // 2]) > sum(own[len(own) // 2 :]) for own in errors)


def test_the_listing_says_what_was_run(results, tmp_path):
    assert reproduce.list_experiments(results[0]).count("grid smoke, seed 0") == len(EXPERIMENTS)
    assert reproduce.list_experiments(tmp_path).count("not run") == len(EXPERIMENTS)


READERS = {
    "table1",
    "table2_paper",
    "table2_fair",
    "parameters",
    "encoding",
    "reconstruction",
    "multiscale",
    "smnist",
    "psmnist",
}  # experiments that evaluate test


def test_every_reading_of_the_test_split_is_recorded_and_counted(results):
    folder, texts = results
    reads = read_lines(folder / READS)
    assert {row["experiment"] for row in reads} == READERS
    for name in EXPERIMENTS:
        own = [row for row in reads if row["experiment"] == name]
        assert f"test split read {len(own)} times" in texts[name]
        assert all(row["code"] == code_fingerprint(f"linmem.experiments.{name}") for row in own)
    tested = [line for line in lines_of(results, "table2_fair") if "test" in line]
    assert sum(row["experiment"] == "table2_fair" for row in reads) <= len(tested)  # two rows may share a run


@pytest.mark.parametrize("name", sorted(READERS))
def test_an_experiment_cannot_read_the_test_split_unless_it_is_opened(name, tmp_path, monkeypatch):
    monkeypatch.setattr(reads_of_test, "open_test", nullcontext)
    with pytest.raises(SealedTestError):
        reproduce.reproduce(name, tmp_path, grid="smoke")


def test_cpu_time_counts_every_process_and_every_resumption(tmp_path):
    for _ in range(2):
        with CPUMeter(tmp_path) as meter:
            spent = cpu_seconds()
            while cpu_seconds() - spent < 0.2:
                pass
    assert len(list(tmp_path.glob("*.json"))) == 2
    assert 0.4 <= meter.total() < 2


def test_the_last_record_has_the_cpu_time_of_the_run(results):
    last = require_records("time", results[0])[-1]
    assert last["cpu_seconds"] >= last["result"]["cpu_seconds"][-1] > 0
    assert f"{last['cpu_seconds']:.0f} CPU s in all processes" in results[1]["time"]


@pytest.mark.parametrize(
    ("result", "config", "flag"),
    [
        ({"epochs": 5, "training": {"max_epochs": 5}}, {}, True),
        ({"epochs": 4, "training": {"max_epochs": 5}}, {}, False),
        ({"epochs": 5}, {"max_epochs": 5}, True),
        ({"nll": [9.0, 8.0]}, {"max_epochs": 3}, False),
        ({"epochs": 5, "best_epoch": 5}, {}, True),  # a fixed number of epochs
        ({"epochs": 5, "best_epoch": 4}, {}, False),
        ({"capacity": 1.0}, {}, None),
    ],
)
def test_a_network_that_ended_at_the_limit_of_epochs_is_flagged(result, config, flag):
    record = {"result": {"set": "a set", "model": "a model"} | result, "config": config}
    assert at_epoch_limit(record) is flag
    text = epoch_limit_text([record])
    assert ("a set, a model" in text) == (flag is True)
    assert bool(text) == (flag is not None)


def test_force_runs_again(tmp_path, monkeypatch):
    monkeypatch.setitem(parameters.GRIDS, "paper", replace(parameters.GRIDS["smoke"], units=(500,), inputs=88))
    reproduce.reproduce("parameters", tmp_path, grid="smoke")
    with pytest.raises(ValueError, match="must hold grid paper with seed 0, got grid smoke with seed 0"):
        reproduce.reproduce("parameters", tmp_path, grid="paper")
    assert "5.61" in reproduce.reproduce("parameters", tmp_path, grid="paper", seed=3, force=True)
    reproduce.reproduce("parameters", tmp_path, force=True)  # the grid and seed of the records
    assert {(one["grid"], one["seed"]) for one in require_records("parameters", tmp_path)} == {("paper", 3)}


def test_lines_of_a_grid_that_was_changed_are_not_gone_on_with(tmp_path, monkeypatch):
    reproduce.reproduce("parameters", tmp_path, grid="smoke")
    first = {key: value for key, value in require_records("parameters", tmp_path)[0].items() if key != "last"}
    write_records("parameters", tmp_path, [first])
    monkeypatch.setitem(parameters.GRIDS, "smoke", replace(parameters.GRIDS["smoke"], units=(8, 30)))
    with pytest.raises(ValueError, match="must have the configuration of the current grid smoke"):
        reproduce.reproduce("parameters", tmp_path)
    assert require_records("parameters", tmp_path) == [first]
    reproduce.reproduce("parameters", tmp_path, grid="smoke", force=True)
    assert require_records("parameters", tmp_path)[0]["config"]["units"] == [8, 30]


def test_table1_counts_what_is_there(results):
    splits = data.load("chorales")
    for line in lines_of(results, "table1"):
        rolls = getattr(splits, line["split"])
        assert (line["sequences"], line["steps"]) == (len(rolls), sum(map(len, rolls)))
        assert line["notes_per_frame"] == pytest.approx(
            sum(float(roll.sum()) for roll in rolls) / line["steps"], rel=1e-5
        )


@pytest.mark.data
def test_table1_finds_the_known_accuracy_of_persistence():
    if not os.environ.get("LINMEM_DATA"):
        pytest.skip("LINMEM_DATA names no folder with the polyphonic sets")
    found = {
        (line["set"], line["split"]): line["persistence_accuracy"]
        for line in table1.run(table1.Config(("jsb_chorales",)), 0, Path())
    }
    assert found["jsb_chorales", "test"] == pytest.approx(table1.PERSISTENCE["jsb_chorales"], abs=0.005)


def test_parameters_formulas_count_weights_and_peak_where_they_should():
    lines = {line["units"]: line for line in islice(parameters.run(parameters.GRIDS["paper"], 0, Path()), 5)}
    for h, line in lines.items():
        assert all(line[name] == line[f"{name}_counted"] for name in ("lstm", "lmn", "peak"))
        assert line["peak_memory_size"] == min(h - 44, h - 1)
    assert lines[500]["lstm"] / lines[500]["lmn"] == pytest.approx(5.6, abs=0.05)


def capacities(monkeypatch, kind, **changes):
    """Capacity by memory, for each series of one kind of input, of the smoke grid with other steps or lags."""
    draw = capacity.inputs
    monkeypatch.setattr(capacity, "mackey_glass", waveform)  # slow, and not measured here
    monkeypatch.setattr(capacity, "inputs", lambda steps, seed: {kind: draw(steps, seed=seed)[kind]})
    lines = list(capacity.run(replace(capacity.GRIDS["smoke"], **changes), 0, Path()))
    return [{line["memory"]: line["capacity"] for line in lines if line["series"] == series} for series in (0, 1)]


def test_capacity_of_independent_input_is_the_number_of_units(monkeypatch):
    # A slow memory reads a narrow band, whose share of the power varies between series: 6.0 to 7.0 at 600 steps
    for found in capacities(monkeypatch, "independent", steps=60_000):
        assert found["delay line"] == pytest.approx(6, abs=0.5)
        assert all(total < 6.6 for total in found.values())


def test_capacity_on_structured_input_favours_the_fitted(monkeypatch):
    # 80 lags hold what the LAES recalls, 50 of them; 40 cut it to 30, 1.5 times the delay line's 20
    for found in capacities(monkeypatch, "resonant noise", steps=20_000, lags=80):
        assert found["LAES"] > 2 * found["delay line"]


def test_figure4_errors_lie_above_the_bound_and_fall_with_memory(results):
    lines = lines_of(results, "figure4")
    measured = [("inputs", 0), ("hidden states", 0), ("hidden states", 1)]
    for of, seed in measured:
        points = select(lines, part="a", source=of, seed=seed)
        assert [line["memory_size"] for line in points] == [5, 20]
        assert points[1]["bound"] < points[0]["bound"]
        assert all(0 < line["bound"] <= line["ours"] <= line["tied"] + 1e-9 <= 1 for line in points)
    b = [(line["seed"], line["memory_size"]) for line in lines if line["part"] == "b"]
    assert b == [(0, 20), (0, 5), (1, 20), (1, 5)]
    c = [line for line in lines if line["part"] == "c"]
    assert [(line["source"], line["seed"]) for line in c] == measured
    assert {len(line["errors"]) for line in c} == {len(data.load("chorales").train[0])}


def test_figure4_averages_networks_over_seeds(results, tmp_path):
    lines = lines_of(results, "figure4")
    bounds = column(select(lines, part="a", source="hidden states", memory_size=5), "bound")
    accuracies = column(select(lines, part="b", memory_size=5), "lmn_valid_accuracy")
    assert len(set(bounds)) == len(set(accuracies)) == 2
    shown = load_experiment("figure4").show(lines, tmp_path)
    assert mean_std(bounds, 4) in shown
    assert mean_std(accuracies) in shown


KEPT = Path(__file__).parent.parent / "results"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_kept_tables_are_those_of_the_kept_lines(name, tmp_path):
    if not KEPT.is_dir():
        pytest.skip("only a checkout has the kept results")
    if not (KEPT / f"{name}.jsonl").exists():
        pytest.skip(f"{name} has not been run: results/ holds no lines of it")
    for kept in (f"{name}.jsonl", READS):
        if (KEPT / kept).exists():
            shutil.copy(KEPT / kept, tmp_path)
    assert reproduce.show(name, tmp_path) + "\n" == (KEPT / f"{name}.md").read_text()


@pytest.mark.parametrize("content", ["", "no json\n", '{"other": 1}\n'])
def test_a_damaged_file_says_so(tmp_path, content):
    (tmp_path / "table1.jsonl").write_text(content)
    with pytest.raises(ValueError, match="table1.jsonl must hold valid records"):
        reproduce.reproduce("table1", tmp_path, grid="smoke")


@pytest.mark.parametrize("altered", [{"seconds": 10**400}, {"cpu_seconds": None}])
def test_a_damaged_number_says_so_and_other_experiments_are_listed(results, tmp_path, altered):
    record = require_records("table1", results[0])[-1] | altered
    (tmp_path / "table1.jsonl").write_text(json.dumps(record) + "\n")
    assert "table1.jsonl is damaged" in reproduce.list_experiments(tmp_path)
