"""Table 2 and figure 3: equal numbers of trials, choice on valid alone, targets that can be reached or missed."""

from dataclasses import replace

import pytest

from linmem.experiments import figure3, table2_paper
from linmem.experiments.table2 import as_published, published
from linmem.experiments.table2.as_published import SMALL_LMN
from linmem.reporting import tables
from linmem.runs.sweep import space


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table2")
    excluded = ("pret-RNN", "GRU", "LMN-A", "RNN")
    part = replace(table2_paper.GRIDS["smoke"].parts[0], seeds=2, units=(2, 40), excluded_rows=excluded)
    return list(table2_paper.run(table2_paper.Config((part,)), 5, folder / "table2"))


def test_the_trial_with_the_best_nll_on_valid_is_run_from_every_seed(smoke):
    lstm = [line for line in smoke if line["row"] == "LSTM"]
    assert [line["seed"] for line in lstm] == [5, 6]
    assert {line["model"]["hidden_size"] for line in lstm} == {40}  # far ahead of 2 units after one epoch
    assert {line["trials"] for line in lstm} == {4}  # two sizes, two forget biases
    assert {line["training"]["seed"] for line in lstm} == {5, 6}
    assert lstm[0]["test"] != lstm[1]["test"]


def test_the_small_lmn_has_at_most_a_fifth_of_the_lstms_parameters(smoke):
    counts = {line["row"]: line["parameters"] for line in smoke if "parameters" in line}
    assert counts["pret-LMN-B, a fifth"] <= counts["LSTM"] / 5


def test_any_beginning_of_a_run_shows_its_rows_and_measures_a_target_once_its_rows_are_there(smoke, tmp_path):
    for count in range(1, len(smoke) + 1):
        rows = {one["row"] for one in smoke[:count]}
        table = [line for line in table2_paper.show(smoke[:count], tmp_path).splitlines() if line.startswith("| ")]
        assert [line.split("|")[1].strip() for line in table[1:]] == list(
            dict.fromkeys(o["row"] for o in smoke[:count])
        )
        order, likelihood, persistence, gain = table2_paper.targets(smoke[:count])
        complete = {"persistence", "LSTM", "LMN-B", "pret-LMN-B"} <= rows
        assert [order.reached is not None, likelihood.reached is not None] == [complete, complete]
        assert (persistence.reached is not None) == ("LMN-B" in rows)
        assert (gain.reached is not None) == ({"LSTM", SMALL_LMN} <= rows)


def test_the_figures_shown_are_those_measured(smoke, tmp_path):
    accuracies = [100 * one["test"]["accuracy"] for one in smoke if one["row"] == "LSTM"]
    row = next(line for line in table2_paper.show(smoke, tmp_path).splitlines() if line.startswith("| LSTM"))
    assert row.split("|")[6].strip() == tables.mean_std(accuracies)
    assert row.split("|")[3].strip() == f"{next(one for one in smoke if one['row'] == 'LSTM')['parameters']:,}"


def line(row, accuracy, nll, seed=0, name="jsb_chorales"):
    test = {"accuracy": accuracy / 100, "nll": nll}
    return {"set": name, "protocol": "paper", "row": row, "seed": seed, "test": test, "valid": {"nll": nll}}


def good(name="jsb_chorales"):
    return [
        line("persistence", 22.2, 14.0, name=name),
        line("LSTM", 33.0, 8.6, name=name),
        line("LMN-B", 33.5, 3.25, name=name),
        line("pret-LMN-B", 34.0, 3.2, name=name),
        line("pret-LMN-B, a fifth", 36.8, 8.5, name=name),
    ]


def verdicts(lines):
    """Of what is measured, in order."""
    return [one.reached for one in table2_paper.targets(lines) if one.reached is not None]


def test_verdicts_follow_the_figures():
    assert verdicts(good()) == [True] * 4  # accuracy, NLL, NLL against the published one, the small one's lead
    assert verdicts([]) == []
    for index, name, value, wrong in [
        (1, "accuracy", 0.339, {0, 3}),  # an LSTM that is ahead of LMN-B, and too near to the small one
        (3, "nll", 8.55, {1, 2}),  # pretraining that harms the likelihood
    ]:
        lines = good()
        lines[index]["test"][name] = value
        lines[2]["valid"]["nll"] = 9.0  # so that pret-LMN-B is the best on valid
        assert {place for place, reached in enumerate(verdicts(lines)) if not reached} == wrong


def test_persistence_has_to_be_beaten_on_all_four_sets():
    names = list(published.ACCURACY)
    lines = [one for name in names for one in good(name)]
    claim = next(one for one in table2_paper.targets(lines) if "persistence" in one.statement)
    assert claim.reached
    assert next(one for one in table2_paper.targets(lines[:15]) if "persistence" in one.statement).reached is None
    lines[10]["test"]["accuracy"] = 0.35
    assert next(one for one in table2_paper.targets(lines) if "persistence" in one.statement).reached is False
    assert next(one for one in table2_paper.targets(lines[:15]) if "persistence" in one.statement).reached is False


def test_seeds_are_averaged_and_their_spread_is_shown(tmp_path):
    lines = [line("persistence", 20.0, 9.0), line("persistence", 24.0, 9.0)]
    for one in lines:
        one["test"] |= {"accuracy_at_half": 0.2, "expected_accuracy": 0.1}
    assert "22.00 ± 2.83" in table2_paper.show(lines, tmp_path)


def point(row="LMN-B", functional=50, memory=50, nll=8.0, accuracy=0.3, bias="default"):
    """A result of figure 3; without an NLL it diverged."""
    valid = None if nll is None else {"accuracy": accuracy, "nll": nll}
    sizes = {"functional": functional, "memory": memory, "units": functional + memory}
    return {"row": row, "seed": 0, "output_bias_init": bias, "valid": valid, "diverged": nll is None, **sizes}


def test_figure3_takes_the_better_of_two_shapes_with_as_many_units(tmp_path):
    lines = [point("LMN-B", 50, 100, 9.0, 0.3), point("LMN-B", 100, 50, 8.0, 0.2), point("LMN-B", 10, 10, 10.0, 0.1)]
    shown = figure3.show(lines, tmp_path)
    assert "20.00 / 8.000" in shown
    assert "30.00" not in shown


def test_figure3_shows_a_size_at_which_every_run_diverged(tmp_path):
    lines = [point("LSTM", 50, 0, None), point("LSTM", 100, 0, None, bias="marginal"), point("LSTM", 100, 0, 8.5)]
    (row,) = (line for line in figure3.show(lines, tmp_path).splitlines() if line.startswith("| LSTM"))
    assert [cell.strip() for cell in row.split("|")][1:-1] == ["LSTM", "diverged", "30.00 / 8.500"]
    assert figure3.targets([point(), *lines[:2]])[0].reached is None  # no LSTM to compare with


def test_figure3_shares_the_runs_of_models_without_a_memory_matrix_with_the_search_of_l18():
    figure, part = figure3.search_spaces(figure3.GRIDS["small"]), table2_paper.GRIDS["small"].parts[0]
    searched = as_published.search_spaces(part)
    for row in ("RNN", "pret-RNN", "LSTM", "GRU"):
        own, others = (set(space.plan(part.data, one[row])) for one in (figure, searched))
        assert len(own) == 10  # five sizes, two readout biases
        assert {run for run in own if run.pretraining.output_bias_init == "default"} <= others
    assert set(space.plan(part.data, figure["LMN-B"])).isdisjoint(space.plan(part.data, searched["LMN-B"]))


def test_figure3_repeats_the_choice_of_the_first_seed(tmp_path):
    config = replace(figure3.GRIDS["smoke"], units=(4,), lmn_sizes=((2, 6), (6, 2)), seeds=3, data="chorales:8:4:4")
    lines = list(figure3.run(config, 5, tmp_path / "figure3"))
    own = [one for one in lines if one["row"] == "LMN-B"]
    assert [one["seed"] for one in own] == [5, 5, 6, 7]
    best = min(own[:2], key=lambda one: one["valid"]["nll"])
    assert all((one["functional"], one["memory"]) == (best["functional"], best["memory"]) for one in own[2:])
    losses = [one["valid"]["nll"] for one in (best, *own[2:])]
    assert len(set(losses)) == 3
    (row,) = (line for line in figure3.show(lines, tmp_path).splitlines() if line.startswith("| LMN-B"))
    assert tables.mean_std(losses, 3) in row
    found = {one.statement.split()[4]: one.found for one in figure3.targets(lines)}
    assert found["LMN-B"].startswith(f"{sum(losses) / 3:.3f}")


def test_a_seed_without_a_finite_figure_has_no_spread():
    assert tables.mean_std([float("inf"), 1.0]) == "inf ± nan"
    assert tables.mean_std([float("nan"), 1.0]) == "nan ± nan"
