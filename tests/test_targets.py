"""Targets: computed from any beginning of a run, shown below the table, with the caveat of an incomplete run."""

import json

import pytest

from linmem.experiments import capacity, parameters, table2_fair
from linmem.experiments.harness import reproduce
from linmem.experiments.harness.catalog import EXPERIMENTS, load_experiment
from linmem.experiments.harness.targets import Target, target_table, verdict


def pair(kind, p, series, ours, theirs):
    """Lines of one series: what LAES and everything else remember."""
    head = {"series": series, "input": kind, "units": p}
    others = [head | {"memory": name, "capacity": theirs} for name in ("delay line", "orthogonal", "LMU")]
    return [*others, head | {"memory": "LAES", "capacity": ours}]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_without_lines_nothing_is_measured(name):
    found = load_experiment(name).targets([])
    assert found
    assert all(one.reached is None for one in found)


def test_one_series_behind_is_enough_to_miss():
    kind = capacity.STRUCTURED[0]
    ahead = pair(kind, 10, 0, 8.0, 4.0)
    (first, *_), (mixed, *_) = (
        capacity.targets(lines) for lines in (ahead, ahead + pair(kind, 10, 1, 4.0, 4.0) + pair(kind, 25, 0, 9.0, 3.0))
    )
    assert (first.found, first.reached) == ("1 of 1; ratio 2.000 at p = 10", True)
    assert (mixed.found, mixed.reached) == ("2 of 3; ratio 1.500, 3.000 at p = 10, 25", False)
    assert all(one.reached is None for one in capacity.targets(pair(capacity.INDEPENDENT, 10, 0, 8.0, 4.0)))


def test_a_fifth_is_a_fifth():
    target, *_ = parameters.targets([{"units": 4, "lmn": 20, "lstm": 100}, {"units": 8, "lmn": 21, "lstm": 100}])
    assert (target.found, target.reached) == ("0.200, 0.210 at h = 4, 8", False)


def test_the_aims_of_the_fair_protocol_are_about_the_closed_form_that_is_best_on_valid():
    def line(row, valid, test, accuracy):
        head = {"set": "piano_midi", "protocol": table2_fair.PROTOCOLS[0], "row": row}
        return head | {"valid": {"nll": valid}, "test": {"nll": test, "accuracy": accuracy}}

    persistence = line("persistence", None, 9.2, 0.35) | {"valid": None}
    gated = [line("LSTM", 7.5, 7.45, 0.34), line("GRU", 7.5, 7.41, 0.34)]
    solved, pretrained = line("solved", 7.4, 7.40, 0.36), line("pret-LMN-B", 7.6, 7.30, 0.34)
    found = {one.statement: one for one in table2_fair.targets([persistence, *gated, solved, pretrained])}
    where = f"piano_midi, {table2_fair.PROTOCOLS[0]}"
    aims = [
        one for statement, one in found.items() if statement.startswith(where) and "the better on valid" in statement
    ]
    assert [one.found for one in aims] == ["solved 7.400; 7.450, 7.410", "solved 36.00; 35.00", "solved 7.400"]
    assert [one.reached for one in aims] == [True, True, False]  # 7.38 nats at most
    assert not any(
        one.reached for one in table2_fair.targets([persistence, *gated, solved]) if "the better" in one.statement
    )


def test_a_run_that_is_not_finished_says_so(tmp_path):
    text = reproduce.reproduce("parameters", tmp_path, grid="smoke")
    assert "Targets:" in text
    assert "incomplete run" not in text
    path = tmp_path / "parameters.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "last"}) + "\n" for line in lines[:1]))
    assert "incomplete run" in reproduce.show("parameters", tmp_path)


def test_verdicts():
    assert verdict(Target("", "")) == "not measured"
    assert verdict(Target("", "", "", False)) == "NO"
    assert (
        target_table([Target("a", "b", "c", True)], "smoke grid").splitlines()[2].split("|")[4].strip()
        == "yes, smoke grid"
    )
