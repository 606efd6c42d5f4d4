"""Experiments: each runs at its smallest, is shown from its lines alone, and says what is known to be true."""

import json
import os
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from linmem import data
from linmem.experiments import parameters, table1
from linmem.experiments.harness import reproduction


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    return folder, {name: reproduction.reproduce(name, folder, grid="smoke") for name in reproduction.EXPERIMENTS}


def lines_of(results, name):
    return [line["result"] for line in reproduction.read(results[0] / f"{name}.jsonl")]


@pytest.mark.parametrize("name", reproduction.EXPERIMENTS)
def test_what_was_run_is_shown_from_its_lines_and_not_run_again(results, name, monkeypatch):
    folder, texts = results
    monkeypatch.setattr(reproduction, "_measure", lambda *_: pytest.fail("it was run again"))
    before = (folder / f"{name}.jsonl").read_bytes()
    assert reproduction.reproduce(name, folder, grid="smoke") == texts[name]
    assert (folder / f"{name}.md").read_text() == texts[name] + "\n"
    assert (folder / f"{name}.jsonl").read_bytes() == before
    head = json.loads(before.splitlines()[0])
    assert {"config", "seed", "versions", "commit", "machine", "threads", "seconds"} <= head.keys()


@pytest.mark.parametrize("name", reproduction.EXPERIMENTS)
def test_any_part_of_a_run_says_how_its_targets_stand(results, name):
    lines = reproduction.read(results[0] / f"{name}.jsonl")
    for length in range(len(lines) + 1):
        for one in reproduction.targets_of(name, lines[:length]):
            assert one.claim
            assert one.wanted
            assert one.reached in (True, False, None)


def test_the_listing_says_what_was_run(results, tmp_path):
    assert reproduction.listing(results[0]).count("grid smoke, seed 0") == len(reproduction.EXPERIMENTS)
    assert reproduction.listing(tmp_path).count("not run") == len(reproduction.EXPERIMENTS)


def test_force_runs_again(results, tmp_path):
    reproduction.reproduce("parameters", tmp_path, grid="smoke")
    with pytest.raises(ValueError, match="holds grid smoke with seed 0"):
        reproduction.reproduce("parameters", tmp_path, grid="paper")
    assert "5.61" in reproduction.reproduce("parameters", tmp_path, grid="paper", force=True)


def test_lines_of_a_grid_that_was_changed_are_not_gone_on_with(tmp_path, monkeypatch):
    reproduction.reproduce("parameters", tmp_path, grid="smoke")
    path = tmp_path / "parameters.jsonl"
    lines = reproduction.read(path)
    begun = [{key: value for key, value in line.items() if key != "last"} for line in lines[:1]]
    path.write_text("".join(json.dumps(line) + "\n" for line in begun))
    monkeypatch.setitem(parameters.CONFIGS, "smoke", {**parameters.CONFIGS["smoke"], "new": 1})
    with pytest.raises(ValueError, match="was begun when grid smoke of parameters was another"):
        reproduction.reproduce("parameters", tmp_path)
    assert len(reproduction.read(path)) == 1
    reproduction.reproduce("parameters", tmp_path, grid="smoke", force=True)
    assert reproduction.read(path)[0]["config"]["new"] == 1


def test_table1_counts_what_is_there(results):
    splits = data.load("chorales")
    for line in lines_of(results, "table1"):
        rolls = getattr(splits, line["split"])
        assert (line["sequences"], line["steps"]) == (len(rolls), sum(map(len, rolls)))
        assert line["notes a frame"] == pytest.approx(
            sum(float(roll.sum()) for roll in rolls) / line["steps"], rel=1e-5
        )


@pytest.mark.data
def test_table1_finds_the_known_accuracy_of_persistence():
    if not os.environ.get("LINMEM_DATA"):
        pytest.skip("LINMEM_DATA names no folder with the polyphonic sets")
    found = {
        (line["set"], line["split"]): line["persistence %"]
        for line in table1.run({"sets": ["jsb_chorales"]}, 0, Path())
    }
    assert found["jsb_chorales", "test"] == pytest.approx(table1.PERSISTENCE["jsb_chorales"], abs=0.005)


def test_parameters_formulas_count_weights_and_peak_where_they_should():
    lines = {line["units"]: line for line in parameters.run(parameters.CONFIGS["paper"], 0, Path())}
    for h, line in lines.items():
        assert all(line[name] == line[f"{name} counted"] for name in ("lstm", "lmn", "peak"))
        assert line["peak at p"] == min(h - 44, h - 1)
    assert lines[500]["lstm"] / lines[500]["lmn"] == pytest.approx(5.6, abs=0.05)


def test_capacity_of_independent_input_is_the_number_of_units_and_structure_favours_the_fitted(results):
    for series in (0, 1):
        lines = [line for line in lines_of(results, "capacity") if line["series"] == series]
        found = {(line["input"], line["memory"]): line["capacity"] for line in lines}
        assert found["independent", "delay line"] == pytest.approx(6, abs=0.5)
        assert all(total < 6.6 for (kind, _), total in found.items() if kind == "independent")
        assert found["resonant noise", "LAES"] > 1.5 * found["resonant noise", "delay line"]


def test_figure4_errors_lie_above_the_bound_and_fall_with_memory(results):
    lines = lines_of(results, "figure4")
    for of in ("inputs", "hidden states"):
        points = [line for line in lines if line["part"] == "a" and line["of"] == of]
        for small, large in pairwise(points):
            assert large["memory_size"] > small["memory_size"]
            assert large["bound"] < small["bound"]
        assert all(0 < line["bound"] <= line["ours"] <= line["tied"] + 1e-9 <= 1 for line in points)
    assert sorted(line["memory_size"] for line in lines if line["part"] == "b") == [5, 20]
    assert [len(line["errors"]) for line in lines if line["part"] == "c"] == [len(data.load("chorales").train[0])] * 2


KEPT = Path(__file__).parent.parent / "results"


@pytest.mark.parametrize("name", reproduction.EXPERIMENTS)
def test_the_kept_tables_are_those_of_the_kept_lines(name, tmp_path):
    if not KEPT.is_dir():
        pytest.skip("only a checkout has the kept results")
    if not (KEPT / f"{name}.jsonl").exists():
        pytest.skip(f"{name} has not been run: results/ holds no lines of it")
    shutil.copy(KEPT / f"{name}.jsonl", tmp_path)
    assert reproduction.shown(name, tmp_path) + "\n" == (KEPT / f"{name}.md").read_text()


@pytest.mark.parametrize("content", ["", "no json\n", '{"other": 1}\n'])
def test_a_damaged_file_says_so(tmp_path, content):
    (tmp_path / "table1.jsonl").write_text(content)
    with pytest.raises(ValueError, match="holds no results of an experiment"):
        reproduction.reproduce("table1", tmp_path, grid="smoke")
